"""The store: one Zarr (format 3) hierarchy per data set, schema 1.

    /            attrs["east"]: a `Header`
    /clip_id /path /fold /label /splits/<protocol>      written once, from the index
    /audio/{waveform, n_samples, duration, rate, state, error}
    /teachers/<name>/{mean, frames, n_frames, state, error}, attrs["teacher"]: a `TeacherRecord`

Every array names its dimensions, so xarray and Dask open the store as it is. `attrs["east"]` and
`attrs["teacher"]` are written last: a group without them was cut off while being made, and is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.sync import sync
from zarr.errors import GroupNotFoundError

from east.common.errors import StoreError
from east.common.layout import Columns, create_audio_arrays, create_teacher_arrays, write_columns

SCHEMA = 1


@dataclass(frozen=True)
class Header:
    """attrs["east"]: what the store was made of.

    `schema`, `dataset`, `task`, `classes`, `index_sha256` and `max_seconds` are its identity. `root` (where
    the audio lies), `created` and `software` are only recorded.
    """

    schema: int
    dataset: str
    task: str
    classes: list[str]
    protocols: list[str]
    index_sha256: str
    max_seconds: float
    block: int
    created: str
    software: str
    root: str

    def identity(self) -> dict[str, object]:
        """The fields in which a later command must agree with the store."""
        keys = ("schema", "dataset", "task", "classes", "max_seconds", "index_sha256")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True)
class TeacherRecord:
    """attrs["teacher"]: which teacher wrote the group. Weights, windows, dtype and precision identify it."""

    name: str
    versions: dict[str, str]
    weights: dict[str, str]
    sample_rate: int
    windows: str
    supervision: str
    licences: dict[str, str]
    citation: str
    dtype: str
    precision: str
    device: str
    remark: str = ""

    def identity(self) -> dict[str, object]:
        """The fields in which a later job must agree with what is stored."""
        return {
            "weights": self.weights["sha256"],
            "windows": self.windows,
            "dtype": self.dtype,
            "precision": self.precision,
        }


class Store:
    """An open store. `create_store` and `open_store` make one; the groups are plain `zarr.Group`."""

    def __init__(self, url: str, group: zarr.Group, header: Header) -> None:
        self.url = url
        self.group = group
        self.header = header

    @property
    def n_clips(self) -> int:
        """Number of clips, whatever their state."""
        return array_of(self.group, "clip_id").shape[0]

    @property
    def audio(self) -> zarr.Group:
        """The group of the students' audio."""
        return group_of(self.group, "audio")

    def teachers(self) -> list[str]:
        """Names of the teachers whose group is complete (their clips may still be pending)."""
        names = member_names(group_of(self.group, "teachers"))
        return sorted(name for name in names if self.find_teacher(name) is not None)

    def find_teacher(self, name: str) -> zarr.Group | None:
        """The group of a teacher, or None where the store does not have it."""
        group = _member(self.group, f"teachers/{name}")
        return group if isinstance(group, zarr.Group) and "teacher" in group.attrs else None

    def teacher_group(self, name: str) -> zarr.Group:
        """The group of a teacher.

        Raises:
            StoreError: The store does not have that teacher; names the command that adds it.
        """
        group = self.find_teacher(name)
        if group is None:
            here = ", ".join(self.teachers()) or "none"
            raise StoreError(
                f"{self.url} has no embeddings of teacher {name!r} (it has: {here}); add them with "
                f"`extract run {self.header.dataset} {self.header.root} {self.url} --teacher {name}`"
            )
        return group

    def teacher_record(self, name: str) -> TeacherRecord:
        """What is written about a teacher.

        Raises:
            StoreError: The store does not have that teacher.
        """
        return TeacherRecord(**dict(self.teacher_group(name).attrs)["teacher"])  # type: ignore[arg-type]

    def columns(self) -> Columns:
        """Read everything that came from the index."""
        splits = group_of(self.group, "splits")
        return Columns(
            clip_id=np.asarray(array_of(self.group, "clip_id")[:]),
            path=np.asarray(array_of(self.group, "path")[:]),
            fold=np.asarray(array_of(self.group, "fold")[:], dtype=np.int8),
            label=np.asarray(array_of(self.group, "label")[:], dtype=np.int8),
            splits={p: np.asarray(array_of(splits, p)[:]) for p in self.header.protocols},
        )

    def identity(self, teacher: str | None = None) -> str:
        """Hash of the store's identity and of one teacher's; equal hashes mean the same training data."""
        parts: dict[str, object] = dict(self.header.identity())
        if teacher is not None:
            parts["teacher"] = self.teacher_record(teacher).identity()
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def create_teacher(self, record: TeacherRecord, n_frames: int, feature: int) -> None:
        """Make (or make anew) the empty group of a teacher.

        Args:
            record: What to write about it.
            n_frames: Frames of a clip of `max_seconds`: the width of `frames`.
            feature: Dimension of one embedding.
        """
        group = self.group.create_group(f"teachers/{record.name}", overwrite=True)
        shape = (self.n_clips, n_frames, feature)
        create_teacher_arrays(group, shape, record.dtype, self.header.block)
        group.update_attributes({"teacher": asdict(record)})  # last: the group is complete

    @property
    def growing(self) -> int | None:
        """The number of clips before growth, where the store is being grown or that was cut off."""
        clips = dict(self.group.attrs).get("growing")
        return clips if isinstance(clips, int) else None

    def check_not_growing(self) -> None:
        """Refuse a store whose arrays are of different lengths for now.

        Raises:
            StoreError: It is being grown, or that was cut off.
        """
        if self.growing is not None:
            raise StoreError(
                f"{self.url} is being grown; if no job does that any more, finish it with "
                f"`extract run {self.header.dataset} {self.header.root} {self.url} --append --teacher NAME`"
            )

    def finish_growing(self, index_sha256: str) -> None:
        """Make the grown arrays the store's: they belong to this index."""
        self.header = replace(self.header, index_sha256=index_sha256)
        attributes = {**dict(self.group.attrs), "east": asdict(self.header)}
        attributes.pop("growing")
        self.group.attrs.put(attributes)  # one write: the new hash comes as the mark goes

    def update_header(self, **changes: object) -> None:
        """Write attributes of the store anew, all at once; `root` says where the audio lies now."""
        header = replace(self.header, **changes)  # type: ignore[arg-type]
        if header != self.header:
            self.group.update_attributes({"east": asdict(header)})
            self.header = header


def create_store(url: str, header: Header, columns: Columns) -> Store:
    """Make a store with everything from the index in it and all audio pending.

    Raises:
        StoreError: Something else lies there already.
    """
    if store_exists(url):
        raise StoreError(f"{url} already holds a store: open it, or choose another name")
    group = zarr.open_group(url, mode="w", attributes={"east": {"schema": header.schema}})
    write_columns(group, columns)
    n = len(columns.clip_id)
    create_audio_arrays(group.create_group("audio"), n, header.max_seconds, header.block)
    group.create_group("teachers")
    group.update_attributes({"east": asdict(header)})  # last: the store is complete
    return open_store(url, mode="r+")


def store_exists(url: str) -> bool:
    """Whether a whole store lies there; a creation that was cut off does not count.

    Raises:
        StoreError: Something that is no store lies there, or a store of another schema.
    """
    try:
        attributes = dict(zarr.open_group(url, mode="r").attrs)
    except (FileNotFoundError, GroupNotFoundError) as error:
        if _holds_something(url):
            raise StoreError(f"{url} exists and is not a store: choose another name") from error
        return False
    except ValueError as error:
        raise StoreError(f"{url} exists and is not a store ({error}): choose another name") from error
    header = attributes.get("east")
    if not isinstance(header, dict):
        raise StoreError(f"{url} is a Zarr group but not a store of ours: choose another name")
    if header.get("schema") != SCHEMA:
        raise StoreError(
            f"{url} has schema {header.get('schema')}, this version reads schema {SCHEMA}: "
            "use the version of east that made it, or extract into a new store"
        )
    if set(header) == {"schema"}:
        return False
    lost = sorted({field.name for field in fields(Header)} - set(header))
    if lost:
        raise StoreError(f"{url} is damaged: its attributes lack {', '.join(lost)}; extract into a new store")
    return True


def open_store(url: str, mode: str = "r") -> Store:
    """Open a store to read ("r") or to read and write ("r+").

    Raises:
        StoreError: Nothing, something else, or a store of another schema lies there.
    """
    if not store_exists(url):
        mend = f"make one with `extract run DATASET ROOT {url} --teacher NAME`"
        raise StoreError(f"there is no store at {url}: {mend}")
    group = zarr.open_group(url, mode="r+" if mode == "r+" else "r")
    return Store(url, group, Header(**dict(group.attrs)["east"]))  # type: ignore[arg-type]


def check_identity(what: str, found: Mapping[str, object], wanted: Mapping[str, object], mend: str) -> None:
    """Refuse to mix: every identity field must be equal.

    Raises:
        StoreError: Names the first field that differs, both values and the mend.
    """
    for key, value in wanted.items():
        if found[key] != value:
            raise StoreError(
                f"{what} was made with {key} = {_short(found[key])}, now it is {_short(value)}: {mend}"
            )


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a group, opened so that chunks full of zeros are written too.

    Missing and zero must differ on disk; Zarr keeps that choice in the opening process, not in the array.

    Raises:
        StoreError: The group has no such array.
    """
    array = _member(group, name)
    if not isinstance(array, zarr.Array):
        raise StoreError(f"the store is damaged: {group.store_path}/{name} is not an array")
    return array.with_config({"write_empty_chunks": True})


def member_names(group: zarr.Group) -> list[str]:
    """Names of the members of a group, whether or not they can be read, without what a killed job left."""

    async def listed() -> list[str]:
        names = [name async for name in group.store.list_dir(group.path)]
        return [name for name in names if name != "zarr.json" and not name.endswith(".partial")]

    return sorted(sync(listed()))


def _member(group: zarr.Group, name: str) -> zarr.Group | zarr.Array[Any] | None:
    try:
        return group.get(name)
    except ValueError as error:  # a zarr.json that is none
        raise StoreError(
            f"the store is damaged: {group.store_path}/{name}/zarr.json cannot be read ({error}): "
            "`extract verify STORE --repair` says what is lost and sets it pending"
        ) from error


def group_of(group: zarr.Group, name: str) -> zarr.Group:
    """A group in a group.

    Raises:
        StoreError: There is no such group, or it cannot be read.
    """
    found = _member(group, name)
    if not isinstance(found, zarr.Group):
        raise StoreError(f"the store is damaged: {group.store_path}/{name} is not a group")
    return found


def _holds_something(url: str) -> bool:
    path = Path(url)
    return "://" not in url and path.exists() and (not path.is_dir() or any(path.iterdir()))


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
