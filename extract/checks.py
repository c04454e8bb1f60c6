"""What must hold in a store: of its arrays' shapes, of one block's values, and of what came from the index.

Pure functions on what was read; `verify.py` reads, `repair.py` mends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from east.common.blocks import State
from east.common.layout import Columns, create_audio_arrays, create_teacher_arrays
from east.common.store import Header
from east.data.index import Index
from east.extract.columns import columns

Rows = npt.NDArray[np.bool_]
Arrays = Mapping[str, npt.NDArray[Any]]

SPLITS = ("train", "valid", "test", "")
# Of a mean against that of the stored frames, in parts of the largest value: half a unit in the last place.
_ROUNDING = {"float32": 1e-5, "float16": 2.0**-11}


def expected_audio(n_clips: int, header: Header) -> zarr.Group:
    """The audio group as a new store would have it, in memory."""
    group = zarr.create_group(store={})
    create_audio_arrays(group, n_clips, header.max_seconds, header.block)
    return group


def expected_teacher(n_clips: int, header: Header, frames: tuple[int, ...], dtype: str) -> zarr.Group:
    """A teacher's group as a new store would have it, in memory; `frames` is the shape of its frames."""
    group = zarr.create_group(store={})
    create_teacher_arrays(group, (n_clips, frames[1], frames[2]), dtype, header.block)
    return group


def differing_arrays(found: zarr.Group, expected: zarr.Group) -> Iterator[tuple[str, str]]:
    """Every array that is not as it must be, with what is wrong about it."""
    for name, array in expected.arrays():
        try:
            stored = found.get(name)
        except Exception as error:  # whatever a broken zarr.json raises
            yield name, f"cannot be read: {error}"
            continue
        if not isinstance(stored, zarr.Array):
            yield name, "is missing"
            continue
        left, right = stored.metadata.to_dict(), array.metadata.to_dict()
        for key in sorted(set(left) | set(right) - {"attributes"}):
            if left.get(key) != right.get(key):
                yield name, f"has {key} {left.get(key)} instead of {right.get(key)}"
                break


def wrong_audio(arrays: Arrays) -> Iterator[tuple[str, Rows]]:
    """What is wrong in one block of audio, and in which of its rows."""
    waveform, n_samples, done = arrays["waveform"], arrays["n_samples"], arrays["state"] == State.DONE
    length_is_right = (n_samples > 0) & (n_samples <= waveform.shape[1])
    yield "n_samples is no length that a clip can have", done & ~length_is_right
    behind = np.arange(waveform.shape[1]) >= n_samples[:, None]
    yield "waveform goes on behind n_samples", done & length_is_right & ((waveform != 0) & behind).any(axis=1)
    duration = arrays["duration"]
    yield "duration is not a time", done & ~(np.isfinite(duration) & (duration > 0))
    yield "rate is not above 0", done & (arrays["rate"] <= 0)
    yield from _wrong_outcome(arrays)


def wrong_teacher(arrays: Arrays) -> Iterator[tuple[str, Rows]]:
    """What is wrong in one block of a teacher, and in which of its rows."""
    mean, frames, n_frames = arrays["mean"], arrays["frames"], arrays["n_frames"]
    done = arrays["state"] == State.DONE
    number_is_right = (n_frames > 0) & (n_frames <= frames.shape[1])
    yield "n_frames is no number that a clip can have", done & ~number_is_right
    finite = np.isfinite(mean).all(axis=1) & np.isfinite(frames).all(axis=(1, 2))
    yield "mean or frames hold NaN or Inf", done & ~finite
    sane = done & number_is_right & finite
    behind = np.arange(frames.shape[1]) >= n_frames[:, None]
    yield "frames go on behind n_frames", sane & ((frames != 0).any(axis=2) & behind).any(axis=1)
    yield "mean is not the mean of frames", sane & ~_means_agree(mean, frames, n_frames)
    yield from _wrong_outcome(arrays)


def _means_agree(mean: npt.NDArray[Any], frames: npt.NDArray[Any], n_frames: npt.NDArray[Any]) -> Rows:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        again = frames.sum(axis=1, dtype=np.float64) / n_frames[:, None]
        largest = np.abs(frames.astype(np.float64)).max(axis=(1, 2))
        # Below the smallest normal number float16 rounds by a fixed step.
        bound = _ROUNDING[str(frames.dtype)] * largest + 1e-7
        agree: Rows = np.abs(mean - again).max(axis=1) <= bound
    return agree


def _wrong_outcome(arrays: Arrays) -> Iterator[tuple[str, Rows]]:
    state, reason = arrays["state"], arrays["error"] != ""
    yield "state is not a state", state > max(State)
    yield "is done, yet has a reason why it failed", (state == State.DONE) & reason
    yield "failed without a reason", (state == State.FAILED) & ~reason


def wrong_columns(columns: Columns, header: Header) -> Iterator[str]:
    """What is wrong in the arrays that came from the index, by themselves and beside the header."""
    n = len(columns.clip_id)
    if len(set(columns.clip_id.tolist())) < n or "" in columns.clip_id:
        yield "clip_id is not unique"
    if "" in columns.path:
        yield "path is empty for some clips"
    if columns.label.shape != (n, len(header.classes)) or not np.isin(columns.label, (-1, 0, 1)).all():
        yield f"label is not -1, 0 or 1 for {n} clips and {len(header.classes)} classes"
    lengths = [len(columns.path), len(columns.fold), *(t.shape[-1] for t in columns.splits.values())]
    if set(lengths) != {n}:
        yield f"clip_id, path, fold and splits have different lengths: {[n, *lengths]}"
    for protocol, table in columns.splits.items():
        if not np.isin(table, SPLITS).all():
            yield f"splits/{protocol} holds other words than {', '.join(filter(None, SPLITS))}"


def changed(header: Header, found: Columns, index: Index) -> Iterator[str]:
    """The attributes and arrays that differ from the index."""
    attributes = {"classes": list(index.classes), "protocols": list(index.protocols), "task": index.task}
    for name, value in attributes.items():
        if getattr(header, name) != value:
            yield name
    wanted = columns(index)
    for name in ("clip_id", "path", "fold", "label"):
        if not np.array_equal(getattr(found, name), getattr(wanted, name)):
            yield name
    for protocol, table in wanted.splits.items():
        if not np.array_equal(found.splits.get(protocol, ()), table):
            yield f"splits/{protocol}"
