"""Reading `.npz` files that may come from anybody: plain arrays, and object arrays of strings.

NumPy keeps an object array as a pickle, and reading a pickle can run code. Here the few names that an array
of strings needs all stand for an inert record, and any other name is refused: nothing that a file names is
ever called.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from east.common.errors import RefusedError

# As NumPy 1 and 2 write them; in protocol 2, which NumPy used until 1.15, bytes go through _codecs.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


def read_plain(path: Path, name: str) -> npt.NDArray[Any]:
    """An array of numbers.

    Raises:
        RefusedError: The file is no npz file, lacks the array, or holds something else in its place.
    """
    with _member(path, name) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if array.dtype.kind not in "biuf":
            raise ValueError("not an array of numbers")
        return array


def read_strings(path: Path, name: str) -> list[str]:
    """An object array of strings, (n,); nothing in the file is run.

    Raises:
        RefusedError: The file is no npz file, lacks the array, or holds something else in its place.
    """
    with _member(path, name) as file:
        _skip_header(file)
        array = _StringsUnpickler(file).load()
        # What ndarray.__setstate__ takes: version, shape, dtype, Fortran order, items.
        state = array.state if isinstance(array, _Record) else ()
        items = state[4] if isinstance(state, tuple) and len(state) == 5 else None
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError("not an array of strings")
        return items


class _Record:
    """Stands for everything that the pickle of an array builds: takes any arguments, does nothing."""

    def __init__(self, *_arguments: object) -> None:
        self.state: object = ()

    def __setstate__(self, state: object) -> None:
        self.state = state


class _StringsUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Record]:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {f'{module}.{name}'!a}, which no strings need")
        return _Record


def _skip_header(file: IO[bytes]) -> None:
    np.lib.format.read_magic(file)
    _, _, dtype = np.lib.format.read_array_header_1_0(file)
    if not dtype.hasobject:
        raise ValueError("not an array of Python strings")


@contextmanager
def _member(path: Path, name: str) -> Iterator[IO[bytes]]:
    """One array of the file, open; whatever its bytes make a reader raise becomes one line."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            yield file
    except OSError:
        raise
    except Exception as error:  # a hostile or broken pickle may raise anything
        reason = " ".join(str(error.args[0]).split()) if error.args else type(error).__name__
        raise RefusedError(f"{path}: {name} cannot be read ({reason}): take the published file") from error
