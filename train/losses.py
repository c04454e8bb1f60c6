"""The losses, each a pure function. Logits are before softmax or sigmoid; labels are 1, 0, -1 (unknown)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Distance = Callable[[Tensor, Tensor], Tensor]


_DEGENERATE = 1e-10  # distance variance, relative to the mean distance, below which a batch has no spread


def prediction_loss(logits: Tensor, labels: Tensor, task: str) -> Tensor:
    """Task loss over what is known: cross-entropy of clips, or binary cross-entropy of (clip, class) pairs.

    Args:
        logits: (B, class) float.
        labels: (B, class): 1 present, 0 absent, -1 unknown.
        task: "multi-class" or "multi-label".

    Returns:
        Mean over the labelled clips or pairs, a scalar; 0 (with zero gradients) where nothing is known.
    """
    if task == "multi-class":
        known = labels.amax(dim=1) > 0  # (B,)
        target = labels.argmax(dim=1)
        losses = F.cross_entropy(logits, target, reduction="none")
    else:
        known = labels >= 0  # (B, class)
        target = labels.clamp(min=0).to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def squared_euclidean(student: Tensor, teacher: Tensor) -> Tensor:
    """FitNet's distance (Romero et al., 2015): squared Euclidean, mean over batch and dimensions.

    Args:
        student: (B, D) projected feature of the student.
        teacher: (B, D) embedding of the teacher.
    """
    return F.mse_loss(student.float(), teacher.float())


def distance_correlation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1 minus the squared distance correlation of a batch (Székely et al., 2007, biased form).

    Zero where the pairwise distances agree up to scale, so the dimensions may differ. A batch without any
    spread has correlation 0: the loss is 1 and its gradients are zero. Always computed in float32 or wider.

    Args:
        student: (B, D1).
        teacher: (B, D2).
    """
    a, b = _centred_distances(student), _centred_distances(teacher)  # (B, B)
    covariance = (a * b).mean()
    variance_a, variance_b = a.square().mean(), b.square().mean()
    degenerate = torch.minimum(variance_a, variance_b) < _DEGENERATE
    # The square root has an infinite slope at 0: replace the radicand before, not the result after.
    product = torch.where(degenerate, torch.ones_like(covariance), variance_a * variance_b)
    return 1 - torch.where(degenerate, torch.zeros_like(covariance), covariance / product.sqrt())


def _centred_distances(x: Tensor) -> Tensor:
    """Doubly centred pairwise distances, (B, D) -> (B, B), in units of their mean.

    The unit keeps float32 accurate whatever the scale of the features. The correlation does not depend on
    it, so it needs no gradient.
    """
    x = x if x.dtype == torch.float64 else x.float()
    # The default computes distances of larger batches from inner products, which cancels badly.
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    d = d / d.detach().mean().clamp(min=torch.finfo(d.dtype).tiny)
    return d - d.mean(dim=0, keepdim=True) - d.mean(dim=1, keepdim=True) + d.mean()


DISTANCES: dict[str, Distance] = {
    "fitnet": squared_euclidean,
    "dc": distance_correlation_loss,
}
