"""The store of a run, looked at again: test clips to score a graph with, training clips to fit one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from east.common.audio import Samples
from east.common.errors import RefusedError
from east.common.reading import Rows, read_lengths, usable_clips
from east.common.store import open_store
from east.train.crops import CropReader, as_float, window_keys
from east.train.metrics import MAIN_METRIC, Probabilities, score
from east.train.scored_clips import SCORES, ScoredClips
from east.train.scoring import mean_over_windows
from east.train.trained import Trained

_CALIBRATION_WINDOWS = 64


@dataclass(frozen=True)
class StoredClips:
    """The clips of a run.

    Attributes:
        reader: Of the store.
        lengths: Stored samples, (clip,) int32, of the whole store.
        train: Training rows.
        test: Rows of the clips that the run was tested with.
        scored: The same clips with their labels and the run's own scores.
    """

    reader: CropReader
    lengths: npt.NDArray[np.int32]
    train: Rows
    test: Rows
    scored: ScoredClips

    @classmethod
    def of(cls, trained: Trained, url: str) -> StoredClips:
        """Find the clips of a run in its store.

        Raises:
            RefusedError: The run was trained from another store.
        """
        results, store = trained.results, open_store(url)
        if store.identity(results["teacher"]) != results["store"]:
            raise RefusedError(
                f"{trained.folder} was not trained from {url}: give --store the run's own store"
            )
        columns = store.columns()
        split = columns.splits[results["protocol"]][(results["fold"] or 1) - 1]
        scored = ScoredClips.load(trained.folder / SCORES)
        place = {clip_id: row for row, clip_id in enumerate(columns.clip_id.tolist())}
        return cls(
            reader=CropReader(store, trained.student.info.window),
            lengths=read_lengths(store),
            train=np.flatnonzero(usable_clips(store, []).done & (split == "train")),
            test=np.array([place[clip_id] for clip_id in scored.clip_id.tolist()]),
            scored=scored,
        )

    def figure(self, answer: Callable[[Samples], Probabilities]) -> float | None:
        """The main figure on the test clips of whatever answers (n, window) float32 with probabilities."""
        scores = mean_over_windows(
            lambda crops: answer(as_float(crops).numpy()), self.reader, self.lengths, self.test
        )
        clips = self.scored
        return score(scores, clips.labels, clips.classes, clips.task).overall[MAIN_METRIC[clips.task]]

    def training_windows(self) -> Samples:
        """Up to 64 windows spread evenly over the training clips, (n, window) float32."""
        keys = window_keys(self.lengths, self.train, self.reader.window)
        n = min(_CALIBRATION_WINDOWS, len(keys))
        chosen = keys[np.linspace(0, len(keys) - 1, n).round().astype(np.int64)]
        return np.concatenate([as_float(crops).numpy() for _, crops in self.reader.windows(chosen)])
