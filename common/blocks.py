"""Blocks: the unit of work and of writing. One task alone writes a block, data first, `state` last.

In every array that jobs write, a chunk (or shard) is exactly one block of clips. So no two tasks ever
touch the same file, and a job killed at any moment leaves each block either done or pending.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from east.common.errors import StoreError
from east.common.layout import stored_samples
from east.common.store import Store, array_of

DEFAULT_BLOCK = 256  # clips
_FEWEST_BLOCKS = 16  # about as many in a small set, so that several workers have something to do
_MOST_AUDIO = 1 << 28  # bytes of int16 audio in a block, which are held in memory: 256 clips of 30 s


class State(IntEnum):
    """What is known of a clip; the value in the store's `state` arrays."""

    PENDING = 0
    DONE = 1
    FAILED = 2


@dataclass(frozen=True)
class Block:
    """Clips `start` (inclusive) to `stop` (exclusive)."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"clips {self.start} to {self.stop - 1}"

    @property
    def rows(self) -> slice:
        """The block's part of any array along its clip dimension."""
        return slice(self.start, self.stop)


def block_size(n_clips: int, max_seconds: float) -> int:
    """Clips per block for that many clips of that length, where the user asks for none."""
    fitting = _MOST_AUDIO // (np.dtype(np.int16).itemsize * stored_samples(max_seconds))
    return max(1, min(DEFAULT_BLOCK, -(-n_clips // _FEWEST_BLOCKS), fitting))


def plan(n_clips: int, size: int) -> list[Block]:
    """All blocks of a store, in order; the last one may be shorter."""
    return [Block(start, min(start + size, n_clips)) for start in range(0, n_clips, size)]


def states(group: zarr.Group) -> npt.NDArray[np.uint8]:
    """The state of every clip, (clip,) uint8, for the audio group or one teacher's."""
    return np.asarray(_read(group, "state", slice(None)), dtype=np.uint8)


def pending_blocks(store: Store, teachers: Sequence[str]) -> list[Block]:
    """The blocks in which the audio or one of the teachers still has a pending clip.

    A teacher that the store does not have yet is pending everywhere.
    """
    pending = states(store.audio) == State.PENDING
    for name in teachers:
        group = store.find_teacher(name)
        pending = pending | (True if group is None else states(group) == State.PENDING)
    return [block for block in plan(store.n_clips, store.header.block) if pending[block.rows].any()]


def read_block(group: zarr.Group, name: str, block: Block) -> npt.NDArray[Any]:
    """A block of one array, to be changed at will.

    Raises:
        StoreError: What is stored does not agree with its checksum.
    """
    return _read(group, name, block.rows)


def pending_rows(group: zarr.Group, block: Block) -> npt.NDArray[np.bool_]:
    """Which clips of the block are still to be written in this group, (len(block),)."""
    return np.asarray(read_block(group, "state", block) == State.PENDING)


def is_pending(group: zarr.Group, block: Block) -> bool:
    """Whether any clip of the block is still to be written in this group."""
    return bool(pending_rows(group, block).any())


def set_pending(group: zarr.Group, block: Block, rows: npt.NDArray[np.bool_]) -> None:
    """Mark rows of a block, (len(block),) bool, to be done again; all of them if no state can be read."""
    if not rows.any():
        return
    try:
        state = read_block(group, "state", block)
    except StoreError:
        state, rows = np.empty(len(block), np.uint8), np.ones(len(block), np.bool_)
    state[rows] = State.PENDING
    array_of(group, "state")[block.rows] = state


def commit_rows(
    group: zarr.Group, block: Block, arrays: Mapping[str, npt.NDArray[Any]], rows: npt.NDArray[np.bool_]
) -> None:
    """Write those rows of a block that were computed and are still pending; the others stay as they are.

    The file of a block is always written whole: what stays is read first and written again.
    """
    rows = rows & pending_rows(group, block)
    if rows.all():
        commit(group, block, arrays)
    elif rows.any():
        stored = {name: read_block(group, name, block) for name in arrays}
        for name, values in stored.items():
            values[rows] = arrays[name][rows]
        commit(group, block, stored)


def commit(group: zarr.Group, block: Block, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write one block of a group, whole: every array named, then `state`, the sign that they are there.

    Raises:
        ValueError: An array has not the block's shape.
    """
    for name in sorted(arrays, key=lambda name: name == "state"):
        array = array_of(group, name)
        expected = (len(block), *array.shape[1:])
        # Zarr itself would cut a wider array to fit, without a word.
        if arrays[name].shape != expected:
            raise ValueError(f"{name} of a block has shape {arrays[name].shape} instead of {expected}")
        array[block.rows] = arrays[name]


def _read(group: zarr.Group, name: str, rows: slice) -> npt.NDArray[Any]:
    try:
        return np.array(array_of(group, name)[rows])
    except ValueError as error:  # a checksum that differs
        raise StoreError(
            f"the store is damaged: {group.store_path}/{name} cannot be read ({error}): "
            "`extract verify STORE --repair` says what is lost and sets it pending"
        ) from error
