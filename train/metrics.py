"""Scores of a set of clips: accuracy, or macro average precision and ROC-AUC over what is known.

Every clip has a weight, a whole number of times that it counts: once to score a set, or as often as it was
drawn to score a resample of it. So a figure and its interval come from the same few lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int8]
Counts = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]

MAIN_METRIC = {"multi-class": "accuracy", "multi-label": "map"}
"""By which the best checkpoint is chosen, per task."""


@dataclass(frozen=True)
class Scores:
    """Scores of a set of clips.

    Attributes:
        overall: {"accuracy"} or {"map", "roc_auc"}; a figure is None where no class allows it.
        per_class: Class -> accuracy or average precision; None where the class has too little to judge by.
    """

    overall: dict[str, float | None]
    per_class: dict[str, float | None]


@dataclass(frozen=True)
class Figures:
    """Scores of several resamples of a set of clips; NaN where there is too little to judge by.

    Attributes:
        overall: Metric -> (resample,).
        per_class: (class, resample).
    """

    overall: dict[str, Values]
    per_class: Values


def score(probabilities: Probabilities, labels: Labels, classes: Sequence[str], task: str) -> Scores:
    """Score clips.

    Args:
        probabilities: (clip, class).
        labels: (clip, class): 1 present, 0 absent, -1 unknown; unknown pairs do not count.
        classes: Names.
        task: "multi-class" or "multi-label".
    """
    once = np.ones((len(labels), 1), dtype=np.int32)
    figures = score_resamples(probabilities, labels, task, once)
    per_class = (number(value) for value in figures.per_class[:, 0])
    return Scores(
        overall={metric: number(values[0]) for metric, values in figures.overall.items()},
        per_class=dict(zip(classes, per_class, strict=True)),
    )


def score_resamples(probabilities: Probabilities, labels: Labels, task: str, counts: Counts) -> Figures:
    """Score resamples of clips.

    Args:
        probabilities: (clip, class).
        labels: (clip, class): 1 present, 0 absent, -1 unknown; unknown pairs do not count.
        task: "multi-class" or "multi-label".
        counts: (clip, resample), how often each clip counts.
    """
    if task == "multi-class":
        return _accuracy(probabilities, labels, counts)
    each = [_ranking(p, y, counts) for p, y in zip(probabilities.T, labels.T, strict=True)]
    precision, auc = (np.stack(values) for values in zip(*each, strict=True))  # (class, resample)
    return Figures({"map": _mean(precision), "roc_auc": _mean(auc)}, precision)


def number(value: float) -> float | None:
    """A plain number, or None for NaN, which JSON does not have."""
    return None if np.isnan(value) else float(value)


def _accuracy(probabilities: Probabilities, labels: Labels, counts: Counts) -> Figures:
    known = labels.max(axis=1) > 0
    truth = labels[known] == 1  # (clip, class)
    right = probabilities[known].argmax(axis=1) == truth.argmax(axis=1)
    times = counts[known].astype(np.float64)  # exact, and multiplied by BLAS
    hits, clips = (truth & right[:, None]).T @ times, truth.T @ times  # (class, resample)
    return Figures({"accuracy": _ratio(hits.sum(axis=0), clips.sum(axis=0))}, _ratio(hits, clips))


def _ranking(scores: Probabilities, truth: npt.NDArray[np.int8], counts: Counts) -> tuple[Values, Values]:
    """Average precision and ROC-AUC of one class, (resample,) each, as scikit-learn defines them.

    NaN where all known labels of a resample are equal, since nothing can be ranked. Equal scores are one
    step of the curves.
    """
    order = np.flatnonzero(truth >= 0)
    order = order[np.argsort(-scores[order], kind="stable")]  # best first
    present = np.flatnonzero(truth[order] == 1)
    if not len(present) or len(present) == len(order):
        nothing = np.full(counts.shape[1], np.nan)
        return nothing, nothing
    ranked = counts[order]  # (known clip, resample)
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))  # where a group of equal scores begins
    ends = np.append(starts[1:], len(order))
    groups, first = np.unique(np.searchsorted(starts, present, side="right") - 1, return_index=True)
    # Sums over the groups with a positive, (group, resample): their positives, and all above and up to each.
    hits = np.add.reduceat(ranked[present], first, axis=0, dtype=np.int32)
    found = hits.cumsum(axis=0, dtype=np.int32)
    above, upto = _sums_before(ranked, starts[groups]), _sums_before(ranked, ends[groups])
    positives, total = found[-1], ranked.sum(axis=0, dtype=np.int32)
    negatives = total - positives
    precision = (hits * _ratio(found, upto, empty=0.0)).sum(axis=0)
    false = (above - (found - hits)) + (upto - found)  # twice the negatives before the middle of the group
    ordered = (hits * (negatives - false / 2)).sum(axis=0)
    lacking = np.where((positives == 0) | (negatives == 0), np.nan, 1.0)
    return lacking * _ratio(precision, positives), lacking * _ratio(ordered, 1.0 * positives * negatives)


def _sums_before(rows: Counts, stops: npt.NDArray[np.int64]) -> Counts:
    """Sums of all rows before each stop, (stop, column); stops ascend.

    Only the few rows of the result are held, not the running sum of all of them.
    """
    steps = np.unique(np.append(0, stops))
    pieces = np.add.reduceat(rows, steps[steps < len(rows)], axis=0, dtype=np.int32)
    sums = np.zeros((len(pieces) + 1, rows.shape[1]), dtype=np.int32)
    pieces.cumsum(axis=0, out=sums[1:])
    return sums[np.searchsorted(steps, stops)]


def _ratio(part: npt.NDArray[np.generic], whole: npt.NDArray[np.generic], empty: float = np.nan) -> Values:
    """The quotient, and `empty` where the whole is 0."""
    result = np.full(np.broadcast_shapes(part.shape, whole.shape), empty)
    np.divide(part, whole, out=result, where=whole != 0)
    return result


def _mean(values: Values) -> Values:
    """Mean over the classes that have a value, (class, resample) -> (resample,)."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=0), known.sum(axis=0))
