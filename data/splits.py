"""Evaluation protocols: one pure function says what each clip is for."""

import hashlib
import re

import numpy as np
import numpy.typing as npt

from east.common.errors import RefusedError
from east.data.index import Index

TRAIN, VALID, TEST, UNUSED = "train", "valid", "test", ""


def split_for(protocol: str, fold: int, index: Index) -> npt.NDArray[np.str_]:
    """What each clip is for, (clip,) of "train", "valid", "test" or "" (unused).

    Protocols:
        "given": the split that the data set publishes (or that the user's file names).
        "full": the same, in a data set that has a "clean" one too.
        "clean": the same, without the clips that have no positive label.
        "hashed": the same column, filled by a hash of the clip's id.
        "N-1-1" (as "3-1-1"): test on `fold`, validate on the next one, train on the other N.
        "N-1" (as "4-1"): test on `fold`, train on the other N, no validation.

    Args:
        protocol: One of `index.protocols`.
        fold: 1-based test fold; 1 where the protocol has none.
        index: The data set.

    Raises:
        RefusedError: The data set has no such protocol or fold.
    """
    if protocol not in index.protocols:
        known = ", ".join(index.protocols)
        raise RefusedError(f"{index.dataset} has no protocol {protocol!r}: choose from {known}")
    if not 1 <= fold <= count_test_folds(protocol):
        raise RefusedError(
            f"protocol {protocol!r} has no fold {fold}: folds are 1 to {count_test_folds(protocol)}"
        )
    if protocol in ("given", "hashed", "full"):
        return np.array(index.given, dtype=np.str_)
    if protocol == "clean":
        return np.where((index.labels == 1).any(axis=1), np.array(index.given, dtype=np.str_), UNUSED)
    return _rotate(index.folds, fold, count_test_folds(protocol), with_valid=protocol.endswith("-1-1"))


def count_test_folds(protocol: str) -> int:
    """Number of test folds of a protocol: its numbers' sum, or 1 where it names a fixed split."""
    return sum(int(n) for n in protocol.split("-")) if re.fullmatch(r"\d+-1(-1)?", protocol) else 1


def hash_share(clip_id: str) -> float:
    """A number in [0, 1) that follows from the id alone, so that a clip stays where a share of it put it."""
    return int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:4], "big") / 2**32


def _rotate(folds: npt.NDArray[np.int8], fold: int, n_folds: int, with_valid: bool) -> npt.NDArray[np.str_]:
    split = np.where(folds >= 1, TRAIN, UNUSED)
    if with_valid:
        split = np.where(folds == fold % n_folds + 1, VALID, split)
    return np.where(folds == fold, TEST, split)
