import librosa
import numpy as np
import pytest
import torch
from librosa.filters import mel

from east.common.mel import MelSpectrogram, Scale, mel_filters


@pytest.mark.parametrize(("scale", "htk", "norm"), [("htk", True, None), ("slaney", False, "slaney")])
@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels"), [(16_000, 512, 96), (16_000, 512, 128), (22_050, 1024, 40)]
)
def test_filters_equal_librosa(
    scale: Scale, htk: bool, norm: str | None, rate: int, n_fft: int, n_mels: int
) -> None:
    expected = mel(sr=rate, n_fft=n_fft, n_mels=n_mels, htk=htk, norm=norm)
    np.testing.assert_allclose(mel_filters(rate, n_fft, n_mels, scale), expected, atol=1e-7)


def test_spectrogram_equals_librosa() -> None:
    audio = np.random.default_rng(0).normal(size=(2, 8000)).astype(np.float32)
    ours = MelSpectrogram(16_000, 512, 256, 96, "slaney")(torch.from_numpy(audio)).numpy()
    theirs = librosa.feature.melspectrogram(
        y=audio, sr=16_000, n_fft=512, hop_length=256, n_mels=96, pad_mode="reflect"
    )
    assert ours.shape == theirs.shape == (2, 96, 32)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.max())
