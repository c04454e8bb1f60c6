"""The index as the store keeps it."""

from __future__ import annotations

import numpy as np

from east.common.layout import Columns
from east.data.index import Index
from east.data.splits import count_test_folds, split_for


def columns(index: Index) -> Columns:
    """The index as the store keeps it, with every protocol's answer for every fold."""
    splits = {
        protocol: np.stack(
            [split_for(protocol, fold + 1, index) for fold in range(count_test_folds(protocol))]
        )
        for protocol in index.protocols
    }
    ids, paths = np.array(index.ids), np.array(index.paths)
    return Columns(clip_id=ids, path=paths, fold=index.folds, label=index.labels, splits=splits)
