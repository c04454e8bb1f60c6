"""What a store holds, in lines for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from east.common.blocks import State, states
from east.common.store import Store, array_of, open_store

_SHOWN_REASONS = 20


def describe(url: str) -> Iterator[str]:
    """Lines about a store: data set, splits, and for audio and teachers the clips by state with reasons.

    Raises:
        StoreError: There is no store.
    """
    store = open_store(url)
    header = store.header
    yield f"{url}: {header.dataset}, {store.n_clips} clips, {header.task}, {len(header.classes)} classes"
    yield f"  made {header.created} by {header.software}; audio: {header.root}"
    yield f"  up to {header.max_seconds:g} s a clip, blocks of {header.block}, id {store.identity()[:12]}"
    columns = store.columns()
    unlabelled = int((columns.label < 0).all(axis=1).sum())
    yield f"  {store.n_clips - unlabelled} labelled, {unlabelled} unlabelled"
    for protocol, table in columns.splits.items():
        counts = Counter(str(split) or "unused" for split in table[0])
        shown = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
        folds = f"{len(table)} folds, the first: " if len(table) > 1 else ""
        yield f"  protocol {protocol}: {folds}{shown}"
    yield from _group(store.audio, "audio", columns.clip_id)
    for name in store.teachers():
        yield from _teacher(store, name, columns.clip_id)


def _teacher(store: Store, name: str, ids: npt.NDArray[Any]) -> Iterator[str]:
    record = store.teacher_record(name)
    group = store.teacher_group(name)
    yield from _group(group, f"teacher {name}", ids)
    _, frames, feature = array_of(group, "frames").shape
    yield f"  up to {frames} frames of {feature}, {record.dtype}; {record.windows}"
    random = " (RANDOM: for timing and tests only)" if record.weights["source"] == "random" else ""
    yield f"  weights {record.weights['source']}{random} {record.weights['sha256'][:12]}, {record.device}"
    yield "  licences: " + ", ".join(f"{what} {licence}" for what, licence in record.licences.items())


def _group(group: zarr.Group, what: str, ids: npt.NDArray[Any]) -> Iterator[str]:
    state = states(group)
    counts = ", ".join(
        f"{int((state == s).sum())} {s.name.lower()}" for s in (State.DONE, State.FAILED, State.PENDING)
    )
    yield f"{what}: {counts}"
    failed = np.flatnonzero(state == State.FAILED)
    if len(failed):
        reasons = np.asarray(array_of(group, "error")[:])
        for clip in failed[:_SHOWN_REASONS]:
            yield f"  failed {ids[clip]}: {reasons[clip]}"
    if len(failed) > _SHOWN_REASONS:
        yield f"  ... and {len(failed) - _SHOWN_REASONS} more"
