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

from east.common.store import Store, array_of

DEFAULT_BLOCK = 256  # clips
_FEWEST_BLOCKS = 16  # about as many in a small set, so that several workers have something to do


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

    @property
    def rows(self) -> slice:
        """The block's part of any array along its clip dimension."""
        return slice(self.start, self.stop)


def block_size(n_clips: int) -> int:
    """Clips per block for a collection of that size, where the user asks for none."""
    return max(1, min(DEFAULT_BLOCK, -(-n_clips // _FEWEST_BLOCKS)))


def plan(n_clips: int, size: int) -> list[Block]:
    """All blocks of a store, in order; the last one may be shorter."""
    return [Block(start, min(start + size, n_clips)) for start in range(0, n_clips, size)]


def states(group: zarr.Group) -> npt.NDArray[np.uint8]:
    """The state of every clip, (clip,) uint8, for the audio group or one teacher's."""
    return np.asarray(array_of(group, "state")[:], dtype=np.uint8)


def pending_blocks(store: Store, teachers: Sequence[str]) -> list[Block]:
    """The blocks in which the audio or one of the teachers still has a pending clip.

    A teacher that the store does not have yet is pending everywhere.
    """
    pending = states(store.audio) == State.PENDING
    for name in teachers:
        group = store.find_teacher(name)
        pending = pending | (True if group is None else states(group) == State.PENDING)
    return [block for block in plan(store.n_clips, store.header.block) if pending[block.rows].any()]


def is_pending(group: zarr.Group, block: Block) -> bool:
    """Whether any clip of the block is still to be written in this group."""
    return bool((np.asarray(array_of(group, "state")[block.rows]) == State.PENDING).any())


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
