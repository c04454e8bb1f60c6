"""How the arrays of a store are cut and encoded.

In every array that jobs write, a chunk (or the shard, where inner chunks are smaller) is one block of clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from east.common.audio import STORED_RATE

# What jobs write, in the order in which they write it.
AUDIO_ARRAYS = ("waveform", "n_samples", "duration", "rate", "error", "state")
TEACHER_ARRAYS = ("mean", "frames", "n_frames", "error", "state")

_WHOLE_CLIP_SAMPLES = 1 << 17  # up to 8 s a clip is one inner chunk
_CHUNK_SAMPLES = 1 << 16  # above, 4 s: about as long as a student's crop
_INDEX_CHUNK = 1 << 16  # clips


@dataclass(frozen=True)
class Columns:
    """What the index says of every clip.

    Attributes:
        clip_id: Unique ids, (clip,).
        path: Audio paths relative to the root, (clip,).
        fold: 1-based folds, -1 where there are none, (clip,) int8.
        label: 1 present, 0 absent, -1 unknown, (clip, class) int8.
        splits: Protocol -> (test_fold, clip) of "train", "valid", "test" or "" (unused).
    """

    clip_id: npt.NDArray[Any]
    path: npt.NDArray[Any]
    fold: npt.NDArray[np.int8]
    label: npt.NDArray[np.int8]
    splits: Mapping[str, npt.NDArray[Any]]


def write_columns(group: zarr.Group, columns: Columns) -> None:
    """Write everything that came from the index, in place of what is there."""
    _index_array(group, "clip_id", ("clip",), columns.clip_id, "str")
    _index_array(group, "path", ("clip",), columns.path, "str")
    _index_array(group, "fold", ("clip",), columns.fold, "int8")
    _index_array(group, "label", ("clip", "class"), columns.label, "int8")
    splits = group.create_group("splits", overwrite=True)
    for protocol, table in columns.splits.items():
        _index_array(splits, protocol, ("test_fold", "clip"), table, "str")


def create_audio_arrays(group: zarr.Group, n: int, max_seconds: float, block: int) -> None:
    """The empty arrays of `/audio` for `n` clips, all pending."""
    _waveform_array(group, n, stored_samples(max_seconds), block)
    _block_array(group, "n_samples", ("clip",), (n,), "int32", block)
    _block_array(group, "duration", ("clip",), (n,), "float32", block)
    _block_array(group, "rate", ("clip",), (n,), "int32", block)
    _state_arrays(group, n, block)


def create_teacher_arrays(group: zarr.Group, frames: tuple[int, int, int], dtype: str, block: int) -> None:
    """The empty arrays of a teacher for `frames` = (clip, frame, feature), all pending."""
    n, _, feature = frames
    _block_array(group, "mean", ("clip", "feature"), (n, feature), "float32", block)
    _block_array(group, "frames", ("clip", "frame", "feature"), frames, dtype, block)
    _block_array(group, "n_frames", ("clip",), (n,), "int32", block)
    _state_arrays(group, n, block)


def _index_array(
    group: zarr.Group, name: str, dims: tuple[str, ...], values: npt.NDArray[Any], dtype: str
) -> None:
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=dtype,
        chunks=tuple(max(1, min(size, _INDEX_CHUNK)) for size in values.shape),
        compressors=_codecs(),
        dimension_names=dims,
        config={"write_empty_chunks": True},  # so that a chunk that is missing is a loss
        overwrite=True,
    )
    array[...] = values


def _block_array(
    group: zarr.Group, name: str, dims: tuple[str, ...], shape: tuple[int, ...], dtype: str, block: int
) -> None:
    chunks = (block, *shape[1:])
    group.create_array(
        name, shape=shape, dtype=dtype, chunks=chunks, compressors=_codecs(), dimension_names=dims
    )


def _waveform_array(group: zarr.Group, n: int, samples: int, block: int) -> None:
    # One shard (file) per block, cut into small inner chunks: a crop reads little, a block is one file.
    inner = samples if samples <= _WHOLE_CLIP_SAMPLES else _CHUNK_SAMPLES
    group.create_array(
        "waveform",
        shape=(n, samples),
        dtype="int16",
        shards=(block, -(-samples // inner) * inner),
        chunks=(1, inner),
        compressors=_codecs(),
        dimension_names=("clip", "sample"),
    )


def _state_arrays(group: zarr.Group, n: int, block: int) -> None:
    _block_array(group, "error", ("clip",), (n,), "str", block)
    _block_array(group, "state", ("clip",), (n,), "uint8", block)


def _codecs() -> tuple[ZstdCodec, Crc32cCodec]:
    # The checksum is outermost: it covers the bytes as they lie on disk.
    return ZstdCodec(level=1), Crc32cCodec()


def stored_samples(max_seconds: float) -> int:
    """Width of `/audio/waveform`: samples of the longest clip at the stored rate."""
    return round(max_seconds * STORED_RATE)
