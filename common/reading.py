"""Reading a store for training: mean embeddings into memory, audio as random crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from east.common.blocks import State, states
from east.common.errors import StoreError
from east.common.store import Store, array_of

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Usable:
    """Which clips training may use.

    Attributes:
        done: (clip,) bool, done for the audio and every teacher asked for.
        failed: Number of clips left out because something failed.
    """

    done: npt.NDArray[np.bool_]
    failed: int


def usable_clips(store: Store, teachers: Sequence[str]) -> Usable:
    """The clips that are done for the audio and for all these teachers.

    Raises:
        StoreError: Some clips are still pending, or a teacher is missing; names the command that mends it.
    """
    store.check_not_growing()
    groups = [store.audio, *(store.teacher_group(name) for name in teachers)]
    table = np.stack([states(group) for group in groups])  # (group, clip)
    pending = int((table == State.PENDING).any(axis=0).sum())
    if pending:
        header, names = store.header, ",".join(teachers) or ",".join(store.teachers()) or "NAME"
        raise StoreError(
            f"{pending} of {store.n_clips} clips of {store.url} are pending; finish them with "
            f"`extract run {header.dataset} {header.root} {store.url} --teacher {names}`"
        )
    done = (table == State.DONE).all(axis=0)
    return Usable(done=done, failed=int((~done).sum()))


def read_rows(array: zarr.Array[Any], rows: Rows) -> npt.NDArray[Any]:
    """Read some rows of an array, (len(rows), ...), one chunk of clips at a time.

    What is held beside the result is one chunk, however large the array is.
    """
    result = np.empty((len(rows), *array.shape[1:]), dtype=array.dtype)
    size = (array.shards or array.chunks)[0]
    for chunk in np.unique(rows // size):
        wanted = rows // size == chunk
        start = int(chunk) * size
        result[wanted] = np.asarray(array[start : start + size])[rows[wanted] - start]
    return result


def read_means(store: Store, teacher: str, rows: Rows) -> npt.NDArray[np.float32]:
    """Mean embeddings of these clips, (len(rows), feature) float32."""
    return read_rows(array_of(store.teacher_group(teacher), "mean"), rows)


def read_lengths(store: Store) -> npt.NDArray[np.int32]:
    """Stored samples of every clip, (clip,) int32."""
    return np.asarray(array_of(store.audio, "n_samples")[:], dtype=np.int32)


class Waveforms:
    """Random access to the stored audio; a copy in another process opens the store again for itself."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._array: zarr.Array[Any] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"url": self.url, "_array": None}

    def crop(self, row: int, start: int, length: int) -> npt.NDArray[np.int16]:
        """Samples `start` to `start + length` of one clip, (length,) int16, zero-padded at the end."""
        if self._array is None:
            self._array = _open_waveform(self.url)
        samples = np.asarray(self._array[row, start : start + length])
        return np.pad(samples, (0, length - len(samples)))


def _open_waveform(url: str) -> zarr.Array[Any]:
    # The Rust pipeline reads crops two to three times as fast. Only reading: its writes are not atomic.
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        array = zarr.open_array(f"{url}/audio/waveform", mode="r")
        if not isinstance(array, zarr.Array):
            raise StoreError(f"the store is damaged: {url}/audio/waveform is not an array")
        return array
