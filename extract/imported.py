"""Embeddings that a user already has, put into a store as a teacher of their own name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from east.common.blocks import Block, State, commit, pending_blocks, states
from east.common.errors import RefusedError
from east.common.store import Store, TeacherRecord, array_of, check_identity, open_store
from east.common.terminal import Quiet, Reporter
from east.extract.lock import sharing
from east.extract.weights import hash_of

Embedding = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ImportConfig:
    """Everything `extract import` is asked for.

    Attributes:
        store: Path or URL of a finished store.
        name: Name of the new teacher.
        source: An .npz file with one array per clip id, or a folder with CLIP_ID.npy files; an array is
            (feature,) or (frames, feature).
        licence: Of the embeddings; goes into the store and every run trained on them.
        overwrite: Replace the teacher of that name.
    """

    store: str
    name: str
    source: Path
    licence: str = "unknown"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", self.name):
            raise RefusedError(f"{self.name!r} is no name for a teacher: use letters, digits, . _ + and -")
        if not self.source.exists():
            raise RefusedError(f"{self.source} does not exist: give an .npz file, or a folder of .npy files")


def import_embeddings(config: ImportConfig, reporter: Reporter | None = None) -> tuple[int, int]:
    """Put embeddings into a store; a clip without a usable one is recorded as failed, with its reason.

    Returns:
        Clips that are done, and clips that failed.

    Raises:
        RefusedError: The store is not finished, or the embeddings fit none of its clips or not each other.
    """
    reporter = reporter or Quiet()
    store = open_store(config.store, mode="r+")
    store.check_not_growing()
    if (states(store.audio) == State.PENDING).any():
        raise RefusedError(f"{config.store} is not finished: run the `extract run` that made it once more")
    ids = [str(clip) for clip in np.asarray(array_of(store.group, "clip_id")[:])]
    source = _source(config.source)
    shapes = {clip: source.shape(clip) for clip in ids if clip in source}
    with sharing(config.store, [config.name]):
        _prepare(store, config, source.sha256, shapes)
        group = store.teacher_group(config.name)
        with reporter.progress("importing", len(ids)) as advance:
            for block in pending_blocks(store, [config.name]):
                commit(group, block, _block_arrays(store, config.name, block, ids[block.rows], source))
                advance(len(block), "")
    state = states(group)
    return int((state == State.DONE).sum()), int((state == State.FAILED).sum())


def _prepare(store: Store, config: ImportConfig, sha256: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """Make the teacher's group, or see that the one which is there comes from the same embeddings."""
    features = sorted({shape[-1] for shape in shapes.values() if len(shape) in (1, 2)})
    if len(features) != 1:
        wrong = f"dimensions {features[0]} and {features[-1]}" if features else "none for this store's clips"
        raise RefusedError(
            f"{config.source} has embeddings of {wrong}: they must be named as /clip_id has it"
        )
    record = _record(config, sha256)
    if store.find_teacher(config.name) is not None and not config.overwrite:
        mend = "import under another name, or replace it with --overwrite"
        found = store.teacher_record(config.name).identity()
        check_identity(f"teacher {config.name} in {config.store}", found, record.identity(), mend)
        return
    n_frames = max(shape[0] if len(shape) == 2 else 1 for shape in shapes.values())
    store.create_teacher(record, max(1, n_frames), features[0])


def _record(config: ImportConfig, sha256: str) -> TeacherRecord:
    return TeacherRecord(
        name=config.name,
        versions={},
        weights={"source": "imported", "sha256": sha256},
        sample_rate=0,
        windows="as imported",
        supervision="unknown",
        licences={"embeddings": config.licence},
        citation="",
        dtype="float32",
        precision="float32",
        device="",
        remark=f"imported from {config.source.name} on {datetime.now(UTC).date()}",
    )


def _block_arrays(
    store: Store, name: str, block: Block, ids: list[str], source: _Npz | _Folder
) -> Mapping[str, npt.NDArray[Any]]:
    _, n_frames, feature = array_of(store.teacher_group(name), "frames").shape
    frames = np.zeros((len(block), n_frames, feature), dtype=np.float32)
    mean = np.zeros((len(block), feature), dtype=np.float32)
    count = np.zeros(len(block), dtype=np.int32)
    state = np.full(len(block), State.DONE, dtype=np.uint8)
    reasons = [""] * len(block)
    silent = np.asarray(array_of(store.audio, "state")[block.rows]) == State.FAILED
    for clip, clip_id in enumerate(ids):
        rows = "audio: failed" if silent[clip] else _embedding(source, clip_id)
        if isinstance(rows, str):
            state[clip], reasons[clip] = State.FAILED, rows
            continue
        frames[clip, : len(rows)], count[clip] = rows, len(rows)
        mean[clip] = rows.mean(axis=0, dtype=np.float64)
    error = np.array(reasons, dtype=np.dtypes.StringDType())
    return {"frames": frames, "mean": mean, "n_frames": count, "error": error, "state": state}


def _embedding(source: _Npz | _Folder, clip_id: str) -> Embedding | str:
    """(frames, feature) of a clip, or why it has none."""
    if clip_id not in source:
        return "no embedding was imported"
    try:
        values = source.read(clip_id)
    except (ValueError, OSError, EOFError) as error:
        return f"the embedding cannot be read: {error}"
    if values.dtype.kind not in "fiu" or values.ndim not in (1, 2) or values.size == 0:
        return f"the embedding is {values.dtype} of shape {values.shape}"
    if not np.isfinite(values).all():
        return "the embedding is not finite"
    return np.atleast_2d(values).astype(np.float32)


def _source(path: Path) -> _Npz | _Folder:
    return _Folder(path) if path.is_dir() else _Npz(path)


class _Npz:
    """An .npz file with one array per clip id."""

    def __init__(self, path: Path) -> None:
        try:
            self.file = np.load(path, allow_pickle=False)
            self.names = set(self.file.files)
        except (ValueError, OSError, EOFError, AttributeError) as error:
            raise RefusedError(f"{path} is no .npz file of arrays: write one with numpy.savez") from error
        self.path = path

    @cached_property
    def sha256(self) -> str:
        return hash_of(self.path)

    def __contains__(self, clip_id: str) -> bool:
        return clip_id in self.names

    def shape(self, clip_id: str) -> tuple[int, ...]:
        try:
            return self.read(clip_id).shape
        except (ValueError, OSError, EOFError):
            return ()

    def read(self, clip_id: str) -> npt.NDArray[Any]:
        return np.asarray(self.file[clip_id])


class _Folder:
    """A folder with CLIP_ID.npy files."""

    def __init__(self, path: Path) -> None:
        self.paths = {str(p.relative_to(path).with_suffix("")): p for p in sorted(path.rglob("*.npy"))}

    @cached_property
    def sha256(self) -> str:
        lines = "".join(f"{hash_of(path)}  {name}\n" for name, path in self.paths.items())
        return hashlib.sha256(lines.encode()).hexdigest()

    def __contains__(self, clip_id: str) -> bool:
        return clip_id in self.paths

    def shape(self, clip_id: str) -> tuple[int, ...]:
        try:
            return tuple(np.load(self.paths[clip_id], mmap_mode="r", allow_pickle=False).shape)
        except (ValueError, OSError, EOFError):
            return ()

    def read(self, clip_id: str) -> npt.NDArray[Any]:
        return np.asarray(np.load(self.paths[clip_id], allow_pickle=False))
