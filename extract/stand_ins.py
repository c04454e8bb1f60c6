"""Importing the network code of a package without what the package does besides when it is imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType


def bare(package: str) -> ModuleType:
    """A package whose submodules can be imported although its own `__init__` never runs.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    module = ModuleType(package)
    module.__path__ = list(spec.submodule_search_locations)
    return module


def empty(name: str, *attributes: str) -> ModuleType:
    """A module with nothing in it but these names."""
    module = ModuleType(name)
    module.__path__ = []
    for attribute in attributes:
        setattr(module, attribute, None)
    return module


@contextmanager
def stand_ins(*modules: ModuleType) -> Iterator[None]:
    """While imports run here, let modules stand in for the real ones of the same names.

    Afterwards whoever imports the real ones gets them: the stand-ins, and what was imported below them, are
    known only to the modules imported here. A package that the process has already imported is left as it is.
    """
    placed = {module.__name__: module for module in modules if module.__name__ not in sys.modules}
    sys.modules.update(placed)
    for name, module in placed.items():
        parent, _, child = name.rpartition(".")
        if parent in placed:
            setattr(placed[parent], child, module)
    try:
        yield
    finally:
        roots = tuple(f"{name}." for name in placed)
        for name in [n for n in sys.modules if n in placed or n.startswith(roots)]:
            del sys.modules[name]
