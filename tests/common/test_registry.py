from pathlib import Path

import pytest

from east.common.errors import RefusedError
from east.common.registry import Registry

SHAPES: Registry[type] = Registry(
    kind="shape", group="east.test_shapes", table={"path": "pathlib:Path", "broken": "no_such_package_east:X"}
)


def test_loads_by_name() -> None:
    assert SHAPES.load("path") is Path


def test_unknown_name_suggests_a_close_one_and_lists_all() -> None:
    with pytest.raises(
        RefusedError, match=r"unknown shape 'paht': did you mean 'path'\? choose from path, broken"
    ):
        SHAPES.load("paht")


def test_missing_package_is_named() -> None:
    with pytest.raises(RefusedError, match="needs the Python package 'no_such_package_east'"):
        SHAPES.load("broken")


def test_another_package_adds_names_but_replaces_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[east.test_shapes]\nround = other_shapes:Round\npath = other_shapes:Round\n"
    )
    (tmp_path / "other_shapes.py").write_text("class Round: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(SHAPES.names()) == {"path", "broken", "round"}
    assert SHAPES.load("round").__name__ == "Round"
    assert SHAPES.load("path") is Path
