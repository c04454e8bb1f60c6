import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from east.common.errors import RefusedError
from east.data.npz import read_plain, read_strings

KEYS = ["000046_3840", "000135_483840", "é"]


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def member(content: bytes, dtype: str = "|O") -> bytes:
    """A .npy file of three objects with that pickle in it."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": (3,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def write(path: Path, content: bytes, name: str = "sample_key") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])
def test_strings_that_any_numpy_wrote(tmp_path: Path, protocol: int, core: bytes) -> None:
    content = pickle.dumps(np.array(KEYS, dtype=object), protocol=protocol)
    if protocol < 4:  # where names have no length before them
        content = content.replace(b"numpy._core", core)
    assert read_strings(write(tmp_path / "a.npz", member(content)), "sample_key") == KEYS


def test_strings_that_this_numpy_saves(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", sample_key=np.array(KEYS, dtype=object), other=np.arange(3))
    assert read_strings(tmp_path / "a.npz", "sample_key") == KEYS
    assert read_plain(tmp_path / "a.npz", "other").tolist() == [0, 1, 2]


def test_other_members_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", member(pickle.dumps(np.array(KEYS, dtype=object))))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("X.npy", b"this is no array")
    assert read_strings(tmp_path / "a.npz", "sample_key") == KEYS


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    for hostile in (Touch(made), [Touch(made)], np.array([Touch(made)], dtype=object)):
        path = write(tmp_path / "a.npz", member(pickle.dumps(hostile, protocol=protocol)))
        with pytest.raises(RefusedError, match=r"it asks for 'posix\.mkdir', which no strings need"):
            read_strings(path, "sample_key")
    assert not made.exists()
    pickle.loads(pickle.dumps(Touch(made), protocol=protocol))  # what would have happened
    assert made.exists()


@pytest.mark.parametrize(
    "asked",
    [
        b"cnumpy\nload\n(Vx\ntR.",
        b"cnumpy\nfromfile\n(Vx\ntR.",
        b"cbuiltins\neval\n(V1\ntR.",
        b"cnumpy\nndarray.tofile\n(Vx\ntR.",
        b"\x80\x02\x82\x01.",  # a code of copyreg's extension registry
        b"\x80\x02P1\n.",  # a persistent id
    ],
)
def test_no_other_name_is_looked_up(tmp_path: Path, asked: bytes) -> None:
    with pytest.raises(RefusedError, match="sample_key cannot be read"):
        read_strings(write(tmp_path / "a.npz", member(asked)), "sample_key")


def test_allowed_names_are_not_called_either(tmp_path: Path) -> None:
    # numpy.ndarray((1 << 40,)) would take 8 TB of memory
    content = b"cnumpy\nndarray\n((L1099511627776L\nttR."
    with pytest.raises(RefusedError, match="not an array of strings"):
        read_strings(write(tmp_path / "a.npz", member(content)), "sample_key")


def saved(array: npt.NDArray[np.generic] | npt.NDArray[np.object_]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(np.array([1, 2], dtype=object)), "not an array of strings"),
        (saved(np.array(KEYS)), "not an array of Python strings"),
        (saved(np.arange(3)), "not an array of Python strings"),
        (member(pickle.dumps(KEYS)), "not an array of strings"),
        (saved(np.array(KEYS, dtype=object))[:-9], "sample_key cannot be read"),
        (b"<html>404</html>", "sample_key cannot be read"),
        (b"", "sample_key cannot be read"),
    ],
)
def test_what_holds_no_strings_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read_strings(write(tmp_path / "a.npz", content), "sample_key")


def test_what_is_no_npz_file_or_lacks_the_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.npz").write_text("<html>404</html>")
    with pytest.raises(RefusedError, match=r"page\.npz: Y_true cannot be read \(File is not a zip file\)"):
        read_plain(tmp_path / "page.npz", "Y_true")
    np.savez(tmp_path / "a.npz", X=np.arange(3))
    with pytest.raises(RefusedError, match=r"There is no item named 'Y_true\.npy' in the archive"):
        read_plain(tmp_path / "a.npz", "Y_true")


def test_strings_or_objects_in_the_place_of_numbers_are_refused(tmp_path: Path) -> None:
    made = tmp_path / "made"
    np.savez(tmp_path / "a.npz", Y_true=np.array(KEYS))
    with pytest.raises(RefusedError, match="not an array of numbers"):
        read_plain(tmp_path / "a.npz", "Y_true")
    np.savez(tmp_path / "a.npz", Y_true=np.array([Touch(made)], dtype=object))
    with pytest.raises(RefusedError, match="Y_true cannot be read"):
        read_plain(tmp_path / "a.npz", "Y_true")
    assert not made.exists()
