"""`extract verify`: reads everything in a store back and says which clips are to be done again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.core.sync import sync

from east.common.blocks import Block, State, plan
from east.common.errors import StoreError
from east.common.layout import AUDIO_ARRAYS, TEACHER_ARRAYS
from east.common.store import Store, TeacherRecord, array_of, group_of, member_names
from east.common.terminal import Advance, Reporter
from east.data.index import Index
from east.extract.checks import (
    changed,
    differing_arrays,
    expected_audio,
    expected_teacher,
    wrong_audio,
    wrong_columns,
    wrong_teacher,
)

INDEX, AUDIO = "index", "audio"


@dataclass(frozen=True)
class Fault:
    """Something in a store that is not as it must be.

    Attributes:
        part: "index", "audio" or "teachers/NAME".
        what: What is wrong, for a person.
        clips: Numbers of the clips to do again.
        remake: Whether the part has to be made anew, since its arrays are not what they must be.
        chunk: Key of a chunk that cannot be read; it must go, since Zarr reads a shard before it writes it.
    """

    part: str
    what: str
    clips: tuple[int, ...] = ()
    remake: bool = False
    chunk: str = ""


def inspect(store: Store, wanted: Index | None, reporter: Reporter) -> list[Fault]:
    """Read a whole store back, one block's array at a time.

    Args:
        store: The store; jobs may be at work on it.
        wanted: The index in the store's order, to compare with; None: it is not at hand.
        reporter: Shows the progress.
    """
    faults = list(_index_faults(store, wanted))
    n = store.n_clips if wanted is None else len(wanted)
    parts = [AUDIO, *_teacher_parts(store)]
    with reporter.progress("verifying", n * len(parts)) as advance:
        for part in parts:
            found = list(_structure_faults(store, part, n))
            if not found:
                found = list(_part_faults(store, part, advance))
            faults += found
    return faults


def unfinished_files(url: str) -> list[Path]:
    """Temporary files of a job that is writing, or that killed ones left behind; a URL has none."""
    return [] if "://" in url else sorted(Path(url).rglob("*.partial"))


def _teacher_parts(store: Store) -> list[str]:
    """The teachers, without those cut off before their first block: the next run makes them anew."""
    parts = [f"teachers/{name}" for name in member_names(group_of(store.group, "teachers"))]
    return [part for part in parts if _is_made(store, part) or _is_begun(store, part)]


def _is_made(store: Store, part: str) -> bool:
    try:
        return store.find_teacher(part.removeprefix("teachers/")) is not None
    except StoreError:
        return True  # what is wrong with it is found later


def _is_begun(store: Store, part: str) -> bool:
    async def chunks() -> bool:
        return any([True async for _ in store.group.store.list_prefix(f"{part}/state/c/")])

    return sync(chunks())


def _index_faults(store: Store, wanted: Index | None) -> Iterator[Fault]:
    names = ["clip_id", "path", "fold", "label", *(f"splits/{p}" for p in store.header.protocols)]
    lost = [Fault(INDEX, f"{name} {why}") for name in names if (why := _whole_array(store.group, name))]
    yield from lost
    if lost:
        return
    found = store.columns()
    for why in wrong_columns(found, store.header):
        yield Fault(INDEX, why)
    for name in [] if wanted is None else changed(store.header, found, wanted):
        yield Fault(INDEX, f"{name} differs from the index")


def _whole_array(group: zarr.Group, name: str) -> str | None:
    """What is wrong with an array as a whole: unreadable, or a chunk is missing; None if nothing is."""
    try:
        array = array_of(group, name)
        grid = [range(-(-n // size)) for n, size in zip(array.shape, array.chunks, strict=True)]
        keys = [f"{array.path}/{array.metadata.encode_chunk_key(at)}" for at in product(*grid)]
        if any(_is_missing(array, key) for key in keys):
            return "lacks a chunk"
        np.asarray(array[...])
    except Exception as error:  # whatever damaged bytes make a codec raise
        return f"cannot be read: {error}"
    return None


def _structure_faults(store: Store, part: str, n: int) -> Iterator[Fault]:
    """Arrays of another shape, type or cut than the attributes say, and attributes that disagree."""
    everything = tuple(range(n))
    try:
        found = group_of(store.group, part)
        expected = expected_audio(n, store.header) if part == AUDIO else _expected(store, found, n)
    except (StoreError, ValueError, TypeError) as error:
        yield Fault(part, str(error), everything, remake=True)
        return
    for name, what in differing_arrays(found, expected):
        yield Fault(part, f"{name} {what}", everything, remake=True)


def _expected(store: Store, found: zarr.Group, n: int) -> zarr.Group:
    attributes = dict(found.attrs).get("teacher")
    names = {field.name for field in fields(TeacherRecord)}
    required = {field.name for field in fields(TeacherRecord) if field.default is MISSING}
    if not isinstance(attributes, dict) or not required <= set(attributes) <= names:
        raise ValueError("its attributes are not those of a teacher")
    if found.basename != attributes["name"]:
        raise ValueError(f"its attributes are those of teacher {attributes['name']!r}")
    return expected_teacher(n, store.header, array_of(found, "frames").shape, attributes["dtype"])


def _part_faults(store: Store, part: str, advance: Advance) -> Iterator[Fault]:
    group = group_of(store.group, part)
    # The states first: a job writes them last, so what they claim is there, even while it works.
    names = sorted(AUDIO_ARRAYS if part == AUDIO else TEACHER_ARRAYS, key=lambda name: name != "state")
    arrays = {name: array_of(group, name) for name in names}
    for block in plan(arrays["state"].shape[0], store.header.block):
        yield from _block_faults(arrays, part, block)
        advance(len(block), part)


def _block_faults(arrays: dict[str, zarr.Array[Any]], part: str, block: Block) -> Iterator[Fault]:
    found: dict[str, npt.NDArray[Any]] = {}
    claimed = np.ones(len(block), dtype=np.bool_)
    for name, array in arrays.items():
        values, why = _read(array, block)
        if values is None:
            chunk = "" if name == "state" else _chunk_key(array, block)
            yield _fault(part, block, f"{name} {why}", claimed, chunk)
            continue
        found[name] = values
        if name == "state":
            claimed = values != State.PENDING
            if not claimed.any():
                return  # nothing is claimed to be there
    if len(found) == len(arrays):
        yield from _row_faults(part, block, found)


def _row_faults(part: str, block: Block, arrays: dict[str, npt.NDArray[Any]]) -> Iterator[Fault]:
    check = wrong_audio if part == AUDIO else wrong_teacher
    for what, rows in check(arrays):
        if rows.any():
            yield _fault(part, block, what, rows)


def _read(array: zarr.Array[Any], block: Block) -> tuple[npt.NDArray[Any] | None, str]:
    """One block of an array, or None and why there is none."""
    # No chunk of states is the state of a block that nobody began.
    if array.basename != "state" and _is_missing(array, _chunk_key(array, block)):
        return None, "is missing"
    try:
        return np.asarray(array[block.rows]), ""
    except Exception as error:  # whatever damaged bytes make a codec raise
        return None, f"cannot be read: {error}"


def _chunk_key(array: zarr.Array[Any], block: Block) -> str:
    number = block.start // (array.shards or array.chunks)[0]
    return f"{array.path}/{array.metadata.encode_chunk_key((number, *(0 for _ in array.shape[1:])))}"


def _is_missing(array: zarr.Array[Any], key: str) -> bool:
    # Zarr reads a chunk that is missing, and a shard of no bytes, as zeros.
    try:
        return sync(array.store.getsize(key)) == 0
    except FileNotFoundError:
        return True


def _fault(part: str, block: Block, what: str, rows: npt.NDArray[np.bool_], chunk: str = "") -> Fault:
    clips = tuple(int(clip) for clip in block.start + np.flatnonzero(rows))
    return Fault(part, f"{block}: {what}", clips, chunk=chunk)


def clips_by_part(faults: Iterable[Fault]) -> dict[str, list[int]]:
    """Part -> the clips to do again, in order."""
    again: dict[str, set[int]] = {}
    for fault in faults:
        if fault.clips:
            again.setdefault(fault.part, set()).update(fault.clips)
    return {part: sorted(clips) for part, clips in again.items()}
