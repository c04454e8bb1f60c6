import sys
from importlib import import_module
from pathlib import Path

import pytest

from east.extract.stand_ins import bare, empty, stand_ins


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose `__init__` fails, and whose submodule imports another package."""
    (tmp_path / "grumpy").mkdir()
    (tmp_path / "grumpy" / "__init__.py").write_text("raise RuntimeError('ran')")
    (tmp_path / "grumpy" / "network.py").write_text("import heavy.tools\nANSWER = heavy.tools.helper\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_submodule_is_imported_without_its_package(package: None) -> None:
    with stand_ins(bare("grumpy"), empty("heavy"), empty("heavy.tools", "helper")):
        network = import_module("grumpy.network")
    assert network.ANSWER is None
    assert not {name for name in sys.modules if name.partition(".")[0] in ("grumpy", "heavy")}
    with pytest.raises(RuntimeError, match="ran"):
        import_module("grumpy")


def test_what_is_imported_already_stays() -> None:
    import json

    with stand_ins(empty("json")):
        assert import_module("json") is json
    assert sys.modules["json"] is json


def test_a_package_that_is_not_installed() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        bare("no_such_package")
