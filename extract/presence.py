"""A clip whose file is missing has failed; where no file is there at all, it is the audio that has gone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from east.common.errors import EastError
from east.common.store import Store, array_of

_LOOKED_FOR = 100  # files, spread evenly over the collection


def check_audio_is_there(root: Path, nearby: Sequence[Path], store: Store) -> None:
    """Stop a job whose audio disappeared (a mount, a renamed folder) before it records every clip as failed.

    Args:
        root: Folder that the store's paths are relative to.
        nearby: Files to look for first.
        store: Its paths are looked for where none of those is there.

    Raises:
        EastError: No file is there.
    """
    if any(map(_exists, nearby)):
        return
    paths = [str(path) for path in np.asarray(array_of(store.group, "path")[:])]
    if not any_is_there(root, paths):
        raise EastError(gone_line(root, paths))


def any_is_there(root: Path, paths: Sequence[str]) -> bool:
    """Whether at least one of up to a hundred of these files exists."""
    step = max(1, len(paths) // _LOOKED_FOR)
    return any(_exists(root / path) for path in paths[::step])


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  # Path.exists raises where a name is too long


def gone_line(root: Path, paths: Sequence[str]) -> str:
    """What to tell a user whose audio is not there."""
    return (
        f"no audio is there any more: {root / paths[0]} and all others are missing; what is done stays, "
        "bring the audio back and run the same again"
    )
