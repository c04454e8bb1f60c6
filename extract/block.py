"""One block of clips through decoding and every teacher into the store: an ordinary function, no Dask."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from east.common.audio import STORED_RATE, Audio, Samples, decode, resample, to_int16
from east.common.blocks import Block, State, commit_rows, pending_rows, read_block
from east.common.errors import AudioError, EastError
from east.common.layout import stored_samples
from east.common.store import Store, array_of
from east.extract.batcher import Batcher, Frames
from east.extract.lock import writing
from east.extract.presence import check_audio_is_there
from east.extract.teacher import Teacher

BATCH_SIZE = 16
_AHEAD = 4  # clips decoded while a batch is embedded
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class BlockReport:
    """What became of a block; small, since it travels between processes.

    Attributes:
        block: The block.
        failed: Clip number in the store -> "audio: reason" or "teacher: reason".
        batch_sizes: Teacher -> windows per forward pass that fitted into memory.
    """

    block: Block
    failed: dict[int, str] = field(default_factory=dict)
    batch_sizes: dict[str, int] = field(default_factory=dict)


def process_block(
    block: Block,
    teachers: Mapping[str, Teacher],
    store: Store,
    *,
    root: Path,
    batch_sizes: Mapping[str, int] | None = None,
    precision: str = "float32",
) -> BlockReport:
    """Decode a block's clips once, embed them with every teacher that still lacks them, write the block.

    Held at any time are the block's int16 audio, the results, and the windows of a few batches. Clips that
    are done already stay untouched, in every part. Audio that failed before is not tried again here.

    Args:
        block: Which clips.
        teachers: Loaded teachers by name; their groups exist in the store.
        store: Open for writing.
        root: Folder that the clips' paths are relative to.
        batch_sizes: Teacher -> windows per forward pass; `BATCH_SIZE` for those left out.
        precision: What `embed` computes in: "float32", "bf16" or "fp16".
    """
    sizes = batch_sizes or {}
    audio = _AudioPart(store, block)
    parts = [
        _TeacherPart(name, t, store, block, sizes.get(name, BATCH_SIZE), precision)
        for name, t in teachers.items()
    ]
    parts = [part for part in parts if part.pending.any()]
    pending = np.any([audio.pending, *(part.pending for part in parts)], axis=0)
    clips = [int(clip) for clip in np.flatnonzero(pending) if clip not in audio.failed]
    paths = [root / str(path) for path in read_block(store.group, "path", block)[clips]]
    rates = {STORED_RATE, *(part.teacher.info.sample_rate for part in parts)}
    with torch.inference_mode():
        heard_clips = _ahead(lambda path: _hear(path, store.header.max_seconds, rates), paths)
        for clip, heard in zip(clips, heard_clips, strict=True):
            if isinstance(heard, AudioError):
                check_audio_is_there(root, paths, store)
                audio.failed[clip] = str(heard)
                continue
            audio.add(clip, heard)
            for part in parts:
                if part.pending[clip]:
                    part.add(clip, heard.at_rate[part.teacher.info.sample_rate])
        frames = [part.batcher.finish() for part in parts]
    audio.commit()
    for part, embedded in zip(parts, frames, strict=True):
        part.commit(embedded, audio.failed)
    fitted = {part.name: part.batcher.batch_size for part in parts}
    return BlockReport(block, _reasons(block, audio, parts), fitted)


class _AudioPart:
    """The students' audio of a block."""

    def __init__(self, store: Store, block: Block) -> None:
        n = len(block)
        self.store, self.block = store, block
        self.waveform = np.zeros((n, stored_samples(store.header.max_seconds)), dtype=np.int16)
        self.n_samples = np.zeros(n, dtype=np.int32)
        self.duration = np.zeros(n, dtype=np.float32)
        self.rate = np.zeros(n, dtype=np.int32)
        self.pending = pending_rows(store.audio, block)
        failed = read_block(store.audio, "state", block) == State.FAILED
        reasons = read_block(store.audio, "error", block) if failed.any() else np.empty(0)
        self.failed = {int(clip): str(reasons[clip]) for clip in np.flatnonzero(failed)}

    def add(self, clip: int, heard: _Heard) -> None:
        samples = to_int16(heard.at_rate[STORED_RATE])[: self.waveform.shape[1]]
        self.waveform[clip, : len(samples)] = samples
        self.n_samples[clip] = len(samples)
        self.duration[clip], self.rate[clip] = heard.original.duration, heard.original.rate

    def commit(self) -> None:
        arrays: dict[str, npt.NDArray[Any]] = {
            "waveform": self.waveform,
            "n_samples": self.n_samples,
            "duration": self.duration,
            "rate": self.rate,
            **_outcome(len(self.block), self.failed),
        }
        with writing(self.store.url, "audio", self.block):
            commit_rows(self.store.audio, self.block, arrays, self.pending)


class _TeacherPart:
    """One teacher's embeddings of a block."""

    def __init__(
        self, name: str, teacher: Teacher, store: Store, block: Block, batch_size: int, precision: str
    ) -> None:
        self.name, self.teacher, self.store, self.block = name, teacher, store, block
        self.group = store.teacher_group(name)
        self.pending = pending_rows(self.group, block)
        self.max_samples = round(store.header.max_seconds * teacher.info.sample_rate)
        self.batcher = Batcher(_embedder(teacher, precision), batch_size)

    def add(self, clip: int, samples: Samples) -> None:
        samples = samples[: self.max_samples]
        missing = max(0, self.teacher.info.min_samples - len(samples))
        try:
            windows = self.teacher.windows(_to_device(np.pad(samples, (0, missing)), self.teacher.device))
        except torch.OutOfMemoryError as error:
            raise EastError("memory runs out with a single clip: use another --device") from error
        except Exception as error:  # one clip must not stop the block; its reason is stored
            self.batcher.failed[clip] = f"{type(error).__name__}: {error}"
            return
        if len(windows):
            self.batcher.add(clip, windows)
        else:
            self.batcher.failed[clip] = "the clip gives no frames"

    def commit(self, clips: Mapping[int, Frames], audio_failed: Mapping[int, str]) -> None:
        stored, n = array_of(self.group, "frames"), len(self.block)
        frames = np.zeros((n, *stored.shape[1:]), dtype=stored.dtype)
        mean = np.zeros((n, stored.shape[2]), dtype=np.float32)
        n_frames = np.zeros(n, dtype=np.int32)
        for clip, rows in clips.items():
            frames[clip, : len(rows)] = rows
            mean[clip] = rows.mean(axis=0, dtype=np.float64)  # of the unrounded frames
            n_frames[clip] = len(rows)
        failed = {**self.batcher.failed, **{clip: f"audio: {why}" for clip, why in audio_failed.items()}}
        arrays: dict[str, npt.NDArray[Any]] = {
            "mean": mean,
            "frames": frames,
            "n_frames": n_frames,
            **_outcome(n, failed),
        }
        with writing(self.store.url, f"teacher-{self.name}", self.block):
            commit_rows(self.group, self.block, arrays, self.pending)


def _embedder(teacher: Teacher, precision: str) -> Callable[[Tensor], Tensor]:
    """`teacher.embed`, under autocast where a lower precision is asked for."""
    if precision == "float32":
        return teacher.embed
    dtype = _AUTOCAST[precision]

    def embed(windows: Tensor) -> Tensor:
        with torch.autocast(teacher.device.type, dtype):
            return teacher.embed(windows).float()

    return embed


def _to_device(samples: Samples, device: torch.device) -> Tensor:
    audio = torch.from_numpy(samples)
    if device.type == "cuda":  # from pinned memory, the copy does not wait for what the device computes
        return audio.pin_memory().to(device, non_blocking=True)
    return audio.to(device)


def _outcome(n: int, failed: Mapping[int, str]) -> dict[str, npt.NDArray[Any]]:
    """The `error` and `state` arrays of a block."""
    error = np.array([failed.get(clip, "") for clip in range(n)], dtype=np.dtypes.StringDType())
    state = np.array([State.FAILED if clip in failed else State.DONE for clip in range(n)], dtype=np.uint8)
    return {"error": error, "state": state}


def _reasons(block: Block, audio: _AudioPart, parts: Sequence[_TeacherPart]) -> dict[int, str]:
    reasons = {clip: f"{part.name}: {why}" for part in parts for clip, why in part.batcher.failed.items()}
    reasons |= {clip: f"audio: {why}" for clip, why in audio.failed.items()}
    return {block.start + clip: why for clip, why in sorted(reasons.items())}


@dataclass(frozen=True)
class _Heard:
    """A decoded clip: the original, and its samples at every rate that somebody wants."""

    original: Audio
    at_rate: Mapping[int, Samples]


def _hear(path: Path, max_seconds: float, rates: set[int]) -> _Heard | AudioError:
    try:
        audio = decode(path, max_seconds)
    except AudioError as error:
        return error
    at_rate = {rate: resample(audio.samples, audio.rate, rate) for rate in rates}
    if not len(at_rate[STORED_RATE]):
        return AudioError(f"shorter than one sample at {STORED_RATE} Hz")
    return _Heard(audio, at_rate)


def _ahead(function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
    """Map in order on a thread that stays a few items ahead of the consumer."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        running: deque[Future[B]] = deque()
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) > _AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
