"""Hiding labels, to measure what a teacher is worth when few clips are labelled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def choose_labelled(labels: npt.NDArray[np.int8], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose a seeded, stratified share of labelled clips that keep their labels.

    Classes are served one after another, the rarest first, each up to its share of positives (in the manner
    of Sechidis et al., On the Stratification of Multi-label Data, 2011); every class keeps at least one.

    Args:
        labels: (clip, class) of labelled clips: 1 present, 0 absent, -1 unknown.
        share: Above 0, at most 1.
        seed: Of the order in which clips are taken.

    Returns:
        (clip,) bool.
    """
    order = np.random.default_rng([seed, 0x1ABE15]).permutation(len(labels))
    present = labels[order] == 1  # (clip, class)
    wanted = np.maximum(np.rint(share * present.sum(axis=0)), 1)
    keep, open_ = np.zeros(len(labels), dtype=bool), np.ones(len(labels), dtype=bool)
    for c in np.argsort(present.sum(axis=0), kind="stable"):
        candidates = np.flatnonzero(open_ & present[:, c])
        missing = int(wanted[c]) - int(present[keep, c].sum())
        keep[candidates[: max(missing, 0)]] = True
        open_[candidates] = False
    # Clips without any positive label belong to no class: their share is filled up at the end.
    rest = np.flatnonzero(open_)
    keep[rest[: round(share * len(rest))]] = True
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order[keep]] = True
    return chosen
