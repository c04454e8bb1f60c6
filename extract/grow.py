"""Growth: clips that are new in the index go into the store, at its end (`extract run --append`).

The writes come in an order that a kill may cut off anywhere; the same command goes on from there:

    1. the states of the last block, if it is not full, become pending: its owner will write it anew
    2. attrs["growing"], the number of clips so far: from here on only `--append` may work on the store
    3. the arrays of audio and teachers get their new rows, which are pending
    4. the arrays of the index get theirs
    5. attrs["east"] gets the new hash, and "growing" goes, in one write
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from east.common.blocks import Block, set_pending
from east.common.errors import StoreError
from east.common.layout import AUDIO_ARRAYS, TEACHER_ARRAYS, Columns
from east.common.store import Store, array_of, check_identity
from east.data.index import Index
from east.extract.columns import columns


def grown_index(store: Store, index: Index) -> Index | None:
    """The index in the store's order with the new clips behind the old ones; None if there are none.

    Raises:
        StoreError: A clip of the store is not in the index any more, or something else about it changed.
    """
    mend = "a store grows by new clips alone, extract into a new STORE"
    unchanged: dict[str, object] = {
        "dataset": index.dataset,
        "task": index.task,
        "classes": list(index.classes),
    }
    unchanged |= {"protocols": list(index.protocols), "max_seconds": index.max_seconds}
    check_identity(store.url, vars(store.header), unchanged, mend)
    number = {clip_id: row for row, clip_id in enumerate(index.ids)}
    stored = [str(clip_id) for clip_id in np.asarray(array_of(store.group, "clip_id")[: _clips(store)])]
    gone = [clip_id for clip_id in stored if clip_id not in number]
    if gone:
        raise StoreError(f"{store.url} has the clip {gone[0]!r}, which the index has not: {mend}")
    old = [number[clip_id] for clip_id in stored]
    _check_unchanged(store, index.take(old), mend)
    if len(index) == len(old) and store.growing is None:
        return None
    known = set(old)
    return index.take([*old, *(row for row in range(len(index)) if row not in known)])


def grow(store: Store, index: Index) -> int:
    """Give the store the clips of the index, which `grown_index` has ordered; they are pending then.

    Returns:
        The number of new clips.
    """
    before, block = _clips(store), store.header.block
    groups: list[tuple[zarr.Group, tuple[str, ...]]] = [(store.audio, AUDIO_ARRAYS)]
    groups += [(store.teacher_group(name), TEACHER_ARRAYS) for name in store.teachers()]
    last = Block(before // block * block, before)
    for group, _ in groups:
        set_pending(group, last, np.ones(len(last), dtype=np.bool_))
    store.group.update_attributes({"growing": before})
    for group, names in groups:
        for name in names:
            array = array_of(group, name)
            array.resize((len(index), *array.shape[1:]))
    for array, values in _index_arrays(store.group, columns(index)):
        array.resize(values.shape)
        array[...] = values
    store.finish_growing(index.sha256)
    return len(index) - before


def _clips(store: Store) -> int:
    """Clips in the store before it grows."""
    return store.n_clips if store.growing is None else store.growing


def _check_unchanged(store: Store, old: Index, mend: str) -> None:
    if old.sha256 == store.header.index_sha256:
        return
    # The clip is the last dimension of splits, and the first of everything else.
    for array, values in _index_arrays(store.group, columns(old)):
        per_clip = values.T if "splits" in array.path else values
        stored = np.asarray(array[...])
        stored = (stored.T if "splits" in array.path else stored)[: len(old)]
        differs = (stored != per_clip).reshape(len(old), -1).any(axis=1)
        if differs.any():
            clip = int(differs.argmax())
            then, now = stored[clip].tolist(), per_clip[clip].tolist()
            what = f"{array.basename} of the clip {old.ids[clip]!r}"
            raise StoreError(f"{store.url} was made with {what} = {then}, now it is {now}: {mend}")
    raise StoreError(f"{store.url} was made of another index_sha256 than its clips have now: {mend}")


def _index_arrays(group: zarr.Group, values: Columns) -> Iterator[tuple[zarr.Array[Any], npt.NDArray[Any]]]:
    for name in ("clip_id", "path", "fold", "label"):
        yield array_of(group, name), getattr(values, name)
    for protocol, table in values.splits.items():
        yield array_of(group, f"splits/{protocol}"), table
