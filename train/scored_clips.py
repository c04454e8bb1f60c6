"""`scores.npz`: what a student answered for every test clip, so that statistics need no second training."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from east.common.errors import RefusedError
from east.train.checkpoint import replace_file
from east.train.metrics import Counts, Figures, Labels, Probabilities, Values, score, score_resamples

SCORES = "scores.npz"

_RESAMPLES = 1000
_AT_ONCE = 100  # resamples; what is held beside the scores is (clip, _AT_ONCE) counts
_PERCENTILES = (2.5, 97.5)

Interval = list[float]
"""Lower and upper end."""


@dataclass(frozen=True)
class ScoredClips:
    """Test clips with their scores.

    Attributes:
        clip_id: (clip,) str.
        scores: Probabilities, (clip, class) float32.
        labels: (clip, class) int8: 1 present, 0 absent, -1 unknown.
        classes: Names.
        task: "multi-class" or "multi-label".
    """

    clip_id: npt.NDArray[np.str_]
    scores: Probabilities
    labels: Labels
    classes: list[str]
    task: str

    def save(self, path: Path) -> None:
        """Write as .npz without pickles, whole or not at all: text is Unicode of a fixed width."""
        content = io.BytesIO()
        np.savez(content, **vars(self))
        replace_file(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> ScoredClips:
        """Read what `save` wrote.

        Raises:
            RefusedError: The file is missing, damaged or something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            classes, task = arrays.pop("classes").tolist(), str(arrays.pop("task"))
            return cls(**arrays, classes=classes, task=task)
        except Exception as error:  # NumPy has a different one for every kind of damage
            raise RefusedError(
                f"{path} cannot be read ({error}): remove that run and train it again"
            ) from error

    def resamples(self) -> Figures:
        """Scores of 1,000 bootstrap resamples of the clips (Efron, 1979).

        The draws follow from the clips' ids: runs that tested the same clips are resampled alike, so their
        figures can be compared resample by resample, and those of other clips are independent.
        """
        parts = [score_resamples(self.scores, self.labels, self.task, counts) for counts in self._draws()]
        overall = {m: np.concatenate([part.overall[m] for part in parts]) for m in parts[0].overall}
        return Figures(overall, np.concatenate([part.per_class for part in parts], axis=1))

    def _draws(self) -> Iterator[Counts]:
        """How often each clip is drawn in each resample, (clip, resample), some resamples at a time."""
        n = len(self.clip_id)
        digest = hashlib.sha256("\n".join(self.clip_id.tolist()).encode()).digest()
        random = np.random.default_rng(list(digest))
        for _ in range(_RESAMPLES // _AT_ONCE):
            drawn = random.integers(n, size=(_AT_ONCE, n)) + n * np.arange(_AT_ONCE)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=n * _AT_ONCE).reshape(_AT_ONCE, n)
            yield np.ascontiguousarray(counts.T, dtype=np.int32)


def interval_of(values: Values) -> Interval | None:
    """The 95 % percentile interval of a figure's resamples, (resample,); None where it has no value.

    Resamples in which a rare class does not occur have no value and are left aside.
    """
    known = values[~np.isnan(values)]
    return np.percentile(known, _PERCENTILES).tolist() if len(known) else None


def summarise(clips: ScoredClips) -> dict[str, Any]:
    """The test figures of `results.json`, each with its interval over clips, and the classes without any."""
    scores = score(clips.scores, clips.labels, clips.classes, clips.task)
    drawn = clips.resamples()
    intervals = [interval_of(values) for values in drawn.per_class]
    return {
        "test": scores.overall,
        "test_interval": {metric: interval_of(values) for metric, values in drawn.overall.items()},
        "per_class": scores.per_class,
        "per_class_interval": dict(zip(clips.classes, intervals, strict=True)),
        "left_out_classes": [name for name, value in scores.per_class.items() if value is None],
    }
