"""Batching, owned once: windows of equal shape from any clips fill a batch, each clip gets its frames back.

A teacher never sees padding: 10 ms of zeros already move an embedding. So a clip's embedding cannot
depend on what else is in its batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from east.common.errors import EastError

Frames = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """One window waiting for its batch: frame number `frame` of clip number `clip`."""

    clip: int
    frame: int
    tensor: Tensor


class Batcher:
    """Embeds the windows of many clips with one teacher.

    Args:
        embed: The teacher's `embed`: (n, ...) -> (n, feature).
        batch_size: Windows per forward pass; halved for good when memory runs out.
        max_waiting: Windows held at most while shapes differ; then the fullest group goes as it is.

    Attributes:
        failed: Clip -> reason, for the clips that could not be embedded.
    """

    def __init__(
        self, embed: Callable[[Tensor], Tensor], batch_size: int, max_waiting: int | None = None
    ) -> None:
        self.embed = embed
        self.batch_size = batch_size
        self.max_waiting = max_waiting or 4 * batch_size
        self.failed: dict[int, str] = {}
        self._waiting: dict[torch.Size, list[Window]] = defaultdict(list)
        self._rows: dict[int, dict[int, Frames]] = {}

    def add(self, clip: int, windows: Tensor) -> None:
        """Take the windows of one clip, (frames, ...), and run every batch that is full."""
        self._rows[clip] = {}
        group = self._waiting[windows.shape[1:]]
        group += [Window(clip, frame, tensor) for frame, tensor in enumerate(windows)]
        while len(group) >= self.batch_size:
            self._run(self._take(group))
        while sum(map(len, self._waiting.values())) > self.max_waiting:
            self._run(self._take(max(self._waiting.values(), key=len)))

    def finish(self) -> dict[int, Frames]:
        """Run what is left; clip -> (frames, feature) float32 for every clip that did not fail."""
        for group in self._waiting.values():
            while group:
                self._run(self._take(group))
        good = {clip: rows for clip, rows in self._rows.items() if clip not in self.failed}
        return {clip: np.stack([rows[frame] for frame in sorted(rows)]) for clip, rows in good.items()}

    def _take(self, group: list[Window]) -> list[Window]:
        batch = group[: self.batch_size]
        del group[: self.batch_size]
        return batch

    def _run(self, batch: list[Window]) -> None:
        try:
            rows = self.embed(torch.stack([window.tensor for window in batch])).cpu().numpy()
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise EastError("memory runs out with a single window: use another --device") from error
            self._halve(batch)
            return
        except Exception as error:
            self._alone(batch, f"{type(error).__name__}: {error}")
            return
        finite = np.isfinite(rows).all(axis=1)
        for window, row in zip(batch, rows, strict=True):
            self._rows[window.clip][window.frame] = row
        bad = {window.clip for window, ok in zip(batch, finite, strict=True) if not ok}
        if bad:
            self._alone([window for window in batch if window.clip in bad], "the embedding is not finite")

    def _halve(self, batch: list[Window]) -> None:
        self.batch_size = len(batch) // 2
        while batch:  # the size may fall again on the way
            now, batch = batch[: self.batch_size], batch[self.batch_size :]
            self._run(now)

    def _alone(self, batch: list[Window], reason: str) -> None:
        """Try each clip of a failed batch by itself; only the culprit fails, with its reason."""
        clips = {window.clip for window in batch}
        if len(clips) == 1:
            self.failed[clips.pop()] = reason
            return
        for clip in sorted(clips):
            self._run([window for window in batch if window.clip == clip])
