import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from east.common.errors import RefusedError
from east.extract.teacher import PublishedFile, PublishedWeights, TeacherInfo, Weights
from east.extract.weights import cache_folder, resolve_weights

WHEEL = "tiny_weights-1.0-py3-none-any.whl"


def info(sha256: str) -> TeacherInfo:
    return TeacherInfo(
        name="tiny",
        sample_rate=16_000,
        feature=1,
        min_samples=1,
        windows="",
        supervision="supervised",
        packages=(),
        licences={},
        citation="",
        weights=PublishedWeights((PublishedFile(WHEEL, "pip:tiny-weights==1.0", f"sha256:{sha256}"),)),
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index in a folder, the only one that pip sees; the cache is empty."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("EAST_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def make_wheel(folder: Path) -> str:
    """A wheel as pip wants it; returns its hash."""
    files = {
        "tiny_weights/data": b"weights",
        "tiny_weights-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
        "tiny_weights-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        for name, data in {**files, "tiny_weights-1.0.dist-info/RECORD": record.encode()}.items():
            wheel.writestr(name, data)
    return hashlib.sha256((folder / WHEEL).read_bytes()).hexdigest()


def test_fetched_once_checked_and_kept(index: Path) -> None:
    sha256 = make_wheel(index)
    weights = resolve_weights(info(sha256), None)
    assert weights == Weights("published", cache_folder() / "tiny" / WHEEL, sha256)
    (index / WHEEL).unlink()
    assert resolve_weights(info(sha256), None) == weights  # from the cache
    assert [path.name for path in (cache_folder() / "tiny").iterdir()] == [WHEEL]


def test_wrong_hash_is_refused_with_both_values_and_nothing_is_kept(index: Path) -> None:
    sha256 = make_wheel(index)
    with pytest.raises(RefusedError, match=rf"its sha256 is {sha256}, published is {'0' * 64}"):
        resolve_weights(info("0" * 64), None)
    assert list((cache_folder() / "tiny").iterdir()) == []


def test_damaged_cache_is_refused(index: Path) -> None:
    sha256 = make_wheel(index)
    resolve_weights(info(sha256), None)
    (cache_folder() / "tiny" / WHEEL).write_bytes(b"half")
    with pytest.raises(RefusedError, match="delete it to fetch it again"):
        resolve_weights(info(sha256), None)


def test_offline_is_one_line_that_says_what_to_fetch_and_where_to_put_it(index: Path) -> None:
    with pytest.raises(RefusedError) as error:
        resolve_weights(info("0" * 64), None)
    message = str(error.value)
    assert "\n" not in message
    assert f"put {WHEEL} into {cache_folder() / 'tiny'}" in message
    assert "--weights tiny=PATH" in message


def test_own_file_and_random(index: Path, tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"x")
    own = resolve_weights(info(""), str(tmp_path / "own"))
    assert (own.source, own.sha256) == ("file", hashlib.sha256(b"x").hexdigest())
    assert resolve_weights(info(""), "random") == Weights("random", None, "random-seed-0")
    with pytest.raises(RefusedError, match="are not there"):
        resolve_weights(info(""), str(tmp_path / "none"))


def test_cache_folder_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EAST_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/east")
