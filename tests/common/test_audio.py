import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from east.common.audio import decode, resample, to_int16
from east.common.errors import AudioError

Tone = Callable[..., None]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2), (48_000, 1)])
def test_every_format_rate_and_channel_count(
    tmp_path: Path, tone: Tone, name: str, rate: int, channels: int
) -> None:
    tone(tmp_path / name, 0.5, rate, channels)
    audio = decode(tmp_path / name, max_seconds=10)
    assert audio.rate == rate
    assert audio.samples.dtype == np.float32
    assert audio.samples.ndim == 1
    assert audio.duration == pytest.approx(0.5, abs=0.06)  # mp3 and ogg round to their frames
    spectrum = np.abs(np.fft.rfft(audio.samples))
    assert spectrum.argmax() * rate / len(audio.samples) == pytest.approx(440, abs=5)


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.array([[0.5, -0.25], [0.25, 0.25], [-1.0, 0.0]], dtype=np.float32)
    soundfile.write(tmp_path / "a.wav", stereo, 8000, subtype="FLOAT")
    assert decode(tmp_path / "a.wav", 1).samples.tolist() == [0.125, 0.25, -0.5]


def test_cut_while_reading_and_original_length_kept(tmp_path: Path, tone: Tone) -> None:
    tone(tmp_path / "a.wav", 30, 8_000)
    audio = decode(tmp_path / "a.wav", max_seconds=2)
    assert len(audio.samples) == 16_000
    assert audio.duration == 30
    np.testing.assert_array_equal(audio.samples, decode(tmp_path / "a.wav").samples[:16_000])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        decode(tmp_path / "none.wav", 1)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (b"These are words, not music.", "cannot be decoded")]
)
def test_no_audio(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match=reason):
        decode(tmp_path / "a.wav", 1)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_truncated_file_is_refused_whatever_its_format(tmp_path: Path, tone: Tone, name: str) -> None:
    tone(tmp_path / name, 4, 22_050)
    decode(tmp_path / name, 10)  # whole: fine
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioError, match=r"truncated|cannot be decoded"):
        decode(tmp_path / name, 10)


def test_truncation_behind_the_cut_does_no_harm(tmp_path: Path, tone: Tone) -> None:
    tone(tmp_path / "a.wav", 4, 8_000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: len(data) // 2])
    assert len(decode(tmp_path / "a.wav", 1).samples) == 8_000


def test_wav_of_unknown_length_is_read_to_its_end(tmp_path: Path, tone: Tone) -> None:
    tone(tmp_path / "a.wav", 1, 8_000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)  # as a recorder that streams to a pipe writes it
    (tmp_path / "a.wav").write_bytes(data)
    assert len(decode(tmp_path / "a.wav", 10).samples) == 8_000
    assert len(decode(tmp_path / "a.wav").samples) == 8_000


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.1, np.nan], dtype=np.float32), 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        decode(tmp_path / "a.wav", 1)


def test_resample_is_soxr_hq() -> None:
    samples = np.random.default_rng(0).normal(size=44_100).astype(np.float32)
    np.testing.assert_array_equal(
        resample(samples, 44_100, 16_000), soxr.resample(samples, 44_100, 16_000, "HQ")
    )
    assert resample(samples, 16_000, 16_000) is samples


def test_int16_rounds_and_clips() -> None:
    samples = np.array([0.0, 1.0, -1.0, 1.5, -1.5, 1.4 / 32_767, 1.6 / 32_767], dtype=np.float32)
    assert to_int16(samples).tolist() == [0, 32_767, -32_767, 32_767, -32_768, 1, 2]
