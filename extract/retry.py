"""`--retry-failed`: what failed before is pending again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import zarr

from east.common.blocks import State, plan, set_pending, states
from east.common.store import Store, array_of
from east.extract.lock import writing


def any_failed(store: Store, teachers: Sequence[str]) -> bool:
    """Whether a clip failed for the audio or one of these teachers."""
    return any((states(group) == State.FAILED).any() for _, group in _parts(store, teachers))


def retry_failed(store: Store, teachers: Sequence[str]) -> None:
    """Set the clips pending that failed for the audio or one of these teachers.

    The audio comes first: a clip whose audio is still marked as failed would fail for the teachers again.
    """
    for part, group in _parts(store, teachers):
        failed = states(group) == State.FAILED
        for block in plan(store.n_clips, store.header.block):
            if failed[block.rows].any():
                with writing(store.url, part, block):
                    set_pending(group, block, failed[block.rows])


def clip_name(store: Store, clip: int) -> str:
    """The id of a clip on one line, whatever is in it."""
    name = str(np.asarray(array_of(store.group, "clip_id")[clip]))
    return name if name.isprintable() else repr(name)


def _parts(store: Store, teachers: Sequence[str]) -> Iterator[tuple[str, zarr.Group]]:
    yield "audio", store.audio
    for name in teachers:
        if store.find_teacher(name) is not None:
            yield f"teacher-{name}", store.teacher_group(name)
