"""Plug-ins by name: a literal table (name -> "module:Class") that other packages extend by entry points."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from east.common.errors import RefusedError

T = TypeVar("T")


class Registry(Generic[T]):
    """The plug-ins of one kind; a name is imported only when it is asked for.

    Args:
        kind: What the plug-ins are, in the words of an error message ("teacher").
        group: Entry-point group through which other packages add theirs ("east.teachers").
        table: Our own ones, name -> "module:attribute".
    """

    def __init__(self, kind: str, group: str, table: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self.table = dict(table)

    def names(self) -> list[str]:
        """All names, ours first."""
        return list(self._targets())

    def load(self, name: str) -> T:
        """Import the plug-in of that name.

        Raises:
            RefusedError: No plug-in has that name, or the package it needs is not installed.
        """
        targets = self._targets()
        if name not in targets:
            raise RefusedError(self._unknown(name))
        module, _, attribute = targets[name].partition(":")
        try:
            return cast(T, getattr(import_module(module), attribute))
        except ModuleNotFoundError as error:
            needs = f"{self.kind} {name!r} needs the Python package {error.name!r}"
            raise RefusedError(f"{needs}: install it here") from error

    def _targets(self) -> dict[str, str]:
        # Ours win: a third-party package adds names, it does not replace a published teacher.
        return {**{e.name: e.value for e in entry_points(group=self.group)}, **self.table}

    def _unknown(self, name: str) -> str:
        close = get_close_matches(name, self.names(), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"unknown {self.kind} {name!r}: {hint}choose from {', '.join(self.names())}"
