from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pytest
import soxr
import torch
from torch import Tensor

from east.common.audio import decode
from east.common.blocks import Block, State, states
from east.common.layout import Columns
from east.common.store import Header, Store, TeacherRecord, array_of, create_store
from east.extract.block import process_block
from east.extract.teacher import PublishedWeights, TeacherInfo, Weights

Tone = Callable[..., None]


class Loudness:
    """A teacher of two features that tells what it heard: the frames' mean square and their length."""

    info: ClassVar[TeacherInfo] = TeacherInfo(
        name="t",
        sample_rate=8_000,
        feature=2,
        min_samples=1_600,
        windows="0.1 s",
        supervision="supervised",
        packages=(),
        licences={},
        citation="",
        weights=PublishedWeights(),
    )

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.heard: list[Tensor] = []

    @classmethod
    def load(cls, weights: Weights, device: torch.device) -> Self:
        return cls()

    def windows(self, audio: Tensor) -> Tensor:
        self.heard.append(audio)
        if len(audio) == 4_000:
            raise ValueError("half a second is bad luck")
        return audio[: len(audio) // 800 * 800].reshape(-1, 800)

    def embed(self, windows: Tensor) -> Tensor:
        return torch.stack([windows.square().mean(dim=1), torch.full((len(windows),), 800.0)], dim=1)


class Eight(Loudness):
    """The same at another rate."""

    info: ClassVar[TeacherInfo] = TeacherInfo(
        **{**Loudness.info.__dict__, "name": "eight", "sample_rate": 32_000}
    )


@pytest.fixture
def empty_store(
    tmp_path: Path, make_header: Callable[..., Header], make_record: Callable[..., TeacherRecord]
) -> Callable[..., Store]:
    def make(*paths: str, dtype: str = "float32") -> Store:
        n = len(paths)
        columns = Columns(
            clip_id=np.array(paths),
            path=np.array(paths),
            fold=np.full(n, -1, np.int8),
            label=np.eye(2, dtype=np.int8)[np.arange(n) % 2],
            splits={"given": np.full((1, n), "train")},
        )
        store = create_store(str(tmp_path / "s.zarr"), make_header(max_seconds=2.0, block=n), columns)
        store.create_teacher(make_record(dtype=dtype), n_frames=20, feature=2)
        return store

    return make


def test_what_a_student_and_a_teacher_hear(
    tmp_path: Path, tone: Tone, empty_store: Callable[..., Store]
) -> None:
    tone(tmp_path / "long.wav", 3.0, 44_100, channels=2)
    tone(tmp_path / "short.wav", 0.05, 8_000)
    store, teacher = empty_store("long.wav", "short.wav"), Loudness()
    report = process_block(Block(0, 2), {"t": teacher}, store, root=tmp_path)
    assert report.failed == {}

    original = decode(tmp_path / "long.wav", 2.0)
    stored = np.asarray(array_of(store.audio, "waveform")[:])
    expected = np.rint(soxr.resample(original.samples, 44_100, 16_000, "HQ") * 32_767)
    np.testing.assert_array_equal(stored[0], expected[:32_000])
    assert not stored[1, 800:].any()
    assert np.asarray(array_of(store.audio, "n_samples")[:]).tolist() == [32_000, 800]
    assert np.asarray(array_of(store.audio, "duration")[:]).tolist() == pytest.approx([3.0, 0.05])
    assert np.asarray(array_of(store.audio, "rate")[:]).tolist() == [44_100, 8_000]

    # The teacher hears the original in float32 at its own rate, cut, and padded to its shortest length.
    np.testing.assert_array_equal(
        teacher.heard[0].numpy(), soxr.resample(original.samples, 44_100, 8_000, "HQ")
    )
    assert len(teacher.heard[1]) == 1_600
    assert not teacher.heard[1][400:].any()

    group = store.teacher_group("t")
    frames = np.asarray(array_of(group, "frames")[:])
    assert np.asarray(array_of(group, "n_frames")[:]).tolist() == [20, 2]
    assert not frames[1, 2:].any()
    np.testing.assert_allclose(np.asarray(array_of(group, "mean")[:])[0], frames[0].mean(axis=0), rtol=1e-6)
    assert states(group).tolist() == [State.DONE, State.DONE]


def test_mean_is_taken_before_frames_are_rounded(
    tmp_path: Path, tone: Tone, empty_store: Callable[..., Store]
) -> None:
    tone(tmp_path / "a.wav", 1.0, 8_000)
    store, teacher = empty_store("a.wav", dtype="float16"), Loudness()
    process_block(Block(0, 1), {"t": teacher}, store, root=tmp_path)
    group = store.teacher_group("t")
    exact = teacher.embed(teacher.windows(teacher.heard[0])).numpy().mean(axis=0, dtype=np.float64)
    assert array_of(group, "frames").dtype == np.float16
    np.testing.assert_array_equal(np.asarray(array_of(group, "mean")[0]), exact.astype(np.float32))


def test_bad_clips_fail_with_their_reason_and_the_others_are_done(
    tmp_path: Path, tone: Tone, empty_store: Callable[..., Store]
) -> None:
    tone(tmp_path / "good.wav", 1.0)
    tone(tmp_path / "unlucky.wav", 0.5)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("no sound")
    store = empty_store("empty.wav", "good.wav", "missing.wav", "text.wav", "unlucky.wav")
    report = process_block(Block(0, 5), {"t": Loudness()}, store, root=tmp_path)
    failed, done = State.FAILED, State.DONE
    assert states(store.audio).tolist() == [failed, done, failed, failed, done]
    assert states(store.teacher_group("t")).tolist() == [failed, done, failed, failed, failed]
    reasons = [str(e) for e in np.asarray(array_of(store.teacher_group("t"), "error")[:])]
    assert reasons == [
        "audio: the file is empty (0 bytes)",
        "",
        "audio: no such file",
        "audio: cannot be decoded: Format not recognised.",
        "ValueError: half a second is bad luck",
    ]
    assert sorted(report.failed) == [0, 2, 3, 4]
    assert report.failed[4] == "t: ValueError: half a second is bad luck"


def test_done_parts_stay_untouched_and_one_decoding_serves_all(
    tmp_path: Path, tone: Tone, empty_store: Callable[..., Store], make_record: Callable[..., TeacherRecord]
) -> None:
    tone(tmp_path / "a.wav", 1.0)
    store = empty_store("a.wav")
    process_block(Block(0, 1), {"t": Loudness()}, store, root=tmp_path)
    files = {p: p.stat().st_mtime_ns for p in Path(store.url).rglob("c/*") if p.is_file()}
    store.create_teacher(make_record(name="eight"), n_frames=80, feature=2)
    old, new = Loudness(), Eight()
    process_block(Block(0, 1), {"t": old, "eight": new}, store, root=tmp_path)
    assert old.heard == []
    assert [len(audio) for audio in new.heard] == [32_000]
    assert states(store.teacher_group("eight")).tolist() == [State.DONE]
    assert {p: p.stat().st_mtime_ns for p in files} == files


def test_a_frame_buffer_that_is_too_short_stops_the_block(
    tmp_path: Path, tone: Tone, empty_store: Callable[..., Store], make_record: Callable[..., TeacherRecord]
) -> None:
    tone(tmp_path / "a.wav", 1.0)
    store = empty_store("a.wav")
    store.create_teacher(make_record(), n_frames=3, feature=2)
    with pytest.raises(ValueError, match="could not broadcast"):
        process_block(Block(0, 1), {"t": Loudness()}, store, root=tmp_path)
    assert states(store.teacher_group("t")).tolist() == [State.PENDING]


class Linear(Loudness):
    """Has a matrix product in `embed`, which autocast lowers, and one in `windows`, which stays."""

    info: ClassVar[TeacherInfo] = TeacherInfo(**{**Loudness.info.__dict__, "name": "linear"})
    seen: ClassVar[list[torch.dtype]] = []

    def windows(self, audio: Tensor) -> Tensor:
        frames = audio[: len(audio) // 800 * 800].reshape(-1, 800) @ torch.eye(800)
        self.seen.append(frames.dtype)
        return frames

    def embed(self, windows: Tensor) -> Tensor:
        product = windows @ torch.ones(800, 2)
        self.seen.append(product.dtype)
        return product


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_precision_is_of_the_network_and_never_of_the_front_end(
    tmp_path: Path, tone: Tone, empty_store: Callable[..., Store], precision: str, dtype: torch.dtype
) -> None:
    tone(tmp_path / "a.wav", 1.0, 8_000)
    store, teacher = empty_store("a.wav"), Linear()
    teacher.seen.clear()
    process_block(Block(0, 1), {"t": teacher}, store, root=tmp_path, precision=precision)
    assert teacher.seen == [torch.float32, dtype]
    assert np.asarray(array_of(store.teacher_group("t"), "mean")[:]).dtype == np.float32


class Small(Loudness):
    """Memory for three windows."""

    info: ClassVar[TeacherInfo] = TeacherInfo(**{**Loudness.info.__dict__, "name": "small"})

    def embed(self, windows: Tensor) -> Tensor:
        if len(windows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().embed(windows)


def test_a_batch_that_does_not_fit_is_halved_and_reported(
    tmp_path: Path, tone: Tone, empty_store: Callable[..., Store]
) -> None:
    tone(tmp_path / "a.wav", 2.0, 8_000)
    store = empty_store("a.wav")
    report = process_block(Block(0, 1), {"t": Small()}, store, root=tmp_path, batch_sizes={"t": 16})
    assert (report.failed, report.batch_sizes) == ({}, {"t": 2})
    assert states(store.teacher_group("t")).tolist() == [State.DONE]
