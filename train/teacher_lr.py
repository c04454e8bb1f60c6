"""`teacher-lr`: logistic regression on the mean embeddings, the ceiling that students are measured by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from east.train.data import TaskData
from east.train.losses import prediction_loss
from east.train.metrics import MAIN_METRIC, Probabilities, score
from east.train.scoring import probabilities_of

L2_GRID = (1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2)
"""Strongest first, so that of equal ones the stronger is kept."""

DEFAULT_L2 = 1.0
"""Where there is no valid split to choose by."""

_ITERATIONS = 1000


@dataclass(frozen=True)
class Fitted:
    """A fitted regression.

    Attributes:
        probabilities: Of every clip of the store, (clip, class).
        l2: The penalty chosen.
        model: Weights and bias on normalised embeddings, float64.
    """

    probabilities: Probabilities
    l2: float
    model: nn.Linear


def fit_logistic_regression(embeddings: Tensor, data: TaskData) -> Fitted:
    """Fit on train, with the L2 penalty that is best on valid (1 where there is none).

    Args:
        embeddings: Normalised mean embeddings of the store, (clip, feature).
        data: Which clips are for what.
    """
    grid = L2_GRID if len(data.valid) else (DEFAULT_L2,)
    fits = [_fit(embeddings.double(), data, l2) for l2 in grid]
    return fits[0] if len(fits) == 1 else max(fits, key=lambda fitted: _valid_score(fitted, data))


def _fit(embeddings: Tensor, data: TaskData, l2: float) -> Fitted:
    """Minimise the summed loss plus l2 / 2 times the squared weights (bias free) by full-batch L-BFGS."""
    x, labels = embeddings[data.train], torch.from_numpy(data.labels[data.train])
    model = nn.Linear(x.shape[1], len(data.classes), dtype=torch.float64)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    known = (labels >= 0).sum() if data.task == "multi-label" else (labels.amax(dim=1) > 0).sum()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=_ITERATIONS, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = prediction_loss(model(x), labels, data.task) * known
        loss = loss + l2 / 2 * model.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        probabilities = probabilities_of(model(embeddings), data.task)
    return Fitted(probabilities.numpy().astype(np.float32), l2, model)


def _valid_score(fitted: Fitted, data: TaskData) -> float:
    scores = score(fitted.probabilities[data.valid], data.labels[data.valid], data.classes, data.task)
    value = scores.overall[MAIN_METRIC[data.task]]
    return -1.0 if value is None else value
