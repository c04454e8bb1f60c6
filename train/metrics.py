"""Scores of a set of clips: accuracy, or macro average precision and ROC-AUC over what is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int8]

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


def score(probabilities: Probabilities, labels: Labels, classes: Sequence[str], task: str) -> Scores:
    """Score clips.

    Args:
        probabilities: (clip, class).
        labels: (clip, class): 1 present, 0 absent, -1 unknown; unknown pairs do not count.
        classes: Names.
        task: "multi-class" or "multi-label".
    """
    if task == "multi-class":
        return _accuracy(probabilities, labels, classes)
    # Deferred: torchmetrics takes seconds to import.
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision

    precision = _each_class(binary_average_precision, probabilities, labels)
    auc = _each_class(binary_auroc, probabilities, labels)
    return Scores(
        overall={"map": _mean(precision), "roc_auc": _mean(auc)},
        per_class=dict(zip(classes, precision, strict=True)),
    )


def _accuracy(probabilities: Probabilities, labels: Labels, classes: Sequence[str]) -> Scores:
    right = probabilities.argmax(axis=1) == labels.argmax(axis=1)
    of_class = [right[labels[:, c] == 1] for c in range(len(classes))]
    per_class = [float(r.mean()) if len(r) else None for r in of_class]
    return Scores({"accuracy": float(right.mean())}, dict(zip(classes, per_class, strict=True)))


def _each_class(
    metric: Callable[[Tensor, Tensor], Tensor], probabilities: Probabilities, labels: Labels
) -> list[float | None]:
    """A binary metric of every class; None where all known labels are equal, since nothing can be ranked."""
    values: list[float | None] = []
    for scores, truth in zip(probabilities.T, labels.T, strict=True):
        known = truth >= 0
        if len(np.unique(truth[known])) < 2:
            values.append(None)
            continue
        # In float64: in float32 the rates of a large set no longer add up to the last digits.
        predicted = torch.from_numpy(scores[known].astype(np.float64))
        values.append(float(metric(predicted, torch.from_numpy(truth[known].astype(np.int64)))))
    return values


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
