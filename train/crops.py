"""Which crops an epoch hears, and reading them: random ones to train, centre and even ones to judge."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from east.common.audio import INT16_SCALE
from east.common.reading import Rows, Waveforms
from east.common.store import Store
from east.train.config import MIN_BATCH, TrainConfig
from east.train.data import TaskData

Keys = npt.NDArray[np.int64]
"""(n, 2): row in the store and first sample of a crop."""

_MAX_WINDOWS = 16  # per clip in evaluation
_SCORING_BATCH = 64  # windows


def training_keys(data: TaskData, window: int, config: TrainConfig, epoch: int) -> Keys:
    """The random crops of an epoch in random order: a pure function of seed and epoch.

    An epoch is as many crops as there are training clips. Where some of them do not take part, the others
    come round more than once, so that every system takes the same number of steps. Where clips without
    labels outnumber those with, every batch is half labelled, half not.
    """
    random = np.random.default_rng([config.seed, epoch])
    labelled, unlabelled, n = data.labelled, data.unlabelled, len(data.pool)
    if len(unlabelled) > len(labelled):
        rows = _half_and_half(labelled, unlabelled, n, config.batch_size, random)
    else:
        rows = _drop_small_rest(_rounds(data.train, n, random), config.batch_size)
    spare = np.maximum(data.lengths[rows] - window, 0)
    return np.stack([rows, random.integers(0, spare + 1)], axis=1)


def _half_and_half(
    labelled: Rows, unlabelled: Rows, n: int, batch_size: int, random: np.random.Generator
) -> Rows:
    """At least `n` rows in whole batches, the first half of each labelled."""
    batches, half = -(-n // batch_size), batch_size // 2
    first = _rounds(labelled, batches * half, random).reshape(batches, half)
    second = _rounds(unlabelled, batches * (batch_size - half), random).reshape(batches, batch_size - half)
    return np.concatenate([first, second], axis=1).ravel()


def _rounds(rows: Rows, n: int, random: np.random.Generator) -> Rows:
    """The first `n` of the rows in random order, again and again in another one."""
    return np.concatenate([random.permutation(rows) for _ in range(-(-n // len(rows)))])[:n]


def _drop_small_rest(rows: Rows, batch_size: int) -> Rows:
    """Drop a last batch of fewer than 4 clips: too few for batch norm and for a distance."""
    rest = len(rows) % batch_size
    return rows[: len(rows) - rest] if 0 < rest < MIN_BATCH else rows


def centre_keys(data: TaskData, rows: Rows, window: int) -> Keys:
    """The centre crop of every clip."""
    return np.stack([rows, np.maximum(data.lengths[rows] - window, 0) // 2], axis=1)


def window_keys(lengths: npt.NDArray[np.int32], rows: Rows, window: int) -> Keys:
    """Evenly spaced windows of every clip, min(16, ceil(length / window)) of each, clip after clip.

    Args:
        lengths: Stored samples of every clip of the store, (clip,).
        rows: Which clips.
        window: Samples.
    """
    keys = []
    for row in rows.tolist():
        starts = window_starts(int(lengths[row]), window, at_most=_MAX_WINDOWS)
        keys.append(np.stack([np.full(len(starts), row), starts], axis=1))
    return np.concatenate(keys)


def window_starts(length: int, window: int, at_most: int = sys.maxsize) -> npt.NDArray[np.int64]:
    """First samples of as many evenly spaced windows as cover a signal, ceil(length / window), or fewer.

    Args:
        length: Samples of the signal.
        window: Samples of a window.
        at_most: Number of windows that are not exceeded; a longer signal is then heard with gaps.
    """
    n = min(at_most, -(-length // window))
    return np.linspace(0, max(length - window, 0), n).round().astype(np.int64)


class Crops(Dataset[Tensor]):
    """Item (row, start) is a crop of the stored audio, (window,) int16, zero-padded at the end."""

    def __init__(self, url: str, window: int) -> None:
        self.waveforms = Waveforms(url)
        self.window = window

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        """See the class."""
        return torch.from_numpy(self.waveforms.crop(key[0], key[1], self.window))


class KeyBatches(Sampler[list[tuple[int, int]]]):
    """Cuts keys into batches, in order; the keys change from epoch to epoch, the reading processes stay."""

    def __init__(self) -> None:
        self.keys: Keys = np.empty((0, 2), dtype=np.int64)
        self.size = 1

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for start in range(0, len(self.keys), self.size):
            yield [(row, first) for row, first in self.keys[start : start + self.size].tolist()]

    def __len__(self) -> int:
        return -(-len(self.keys) // self.size)


class CropReader:
    """Reads crops in batches, in this process or in others.

    Args:
        store: Where from.
        window: Samples per crop.
        workers: Other processes that read ahead; 0: none.
        pin: Put batches into pinned memory, for a GPU.
    """

    def __init__(self, store: Store, window: int, workers: int = 0, pin: bool = False) -> None:
        self.window = window
        self.sampler = KeyBatches()
        # Workers are spawned: zarrs' Rust threads do not survive a fork, and reading then hangs.
        context = "spawn" if workers else None
        self.loader: DataLoader[Tensor] = DataLoader(
            Crops(store.url, window),
            batch_sampler=self.sampler,
            num_workers=workers,
            multiprocessing_context=context,
            persistent_workers=workers > 0,
            pin_memory=pin,
        )

    def batches(self, keys: Keys, size: int) -> Iterator[tuple[Rows, Tensor]]:
        """Rows (B,) and audio (B, window) float32 in [-1, 1] of consecutive batches."""
        self.sampler.keys, self.sampler.size = keys, size
        for number, crops in enumerate(self.loader):
            yield keys[number * size : number * size + len(crops), 0], crops

    def windows(self, keys: Keys) -> Iterator[tuple[Rows, Tensor]]:
        """As `batches`, in the batch size of evaluation."""
        return self.batches(keys, _SCORING_BATCH)


def as_float(crops: Tensor) -> Tensor:
    """int16 crops to float32 in [-1, 1], after they have reached the device."""
    return crops.float() / INT16_SCALE
