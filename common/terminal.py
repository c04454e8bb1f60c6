"""What commands show: Rich progress on a terminal, plain lines elsewhere, one clear line for an error."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

from east.common.errors import EastError, RefusedError

if TYPE_CHECKING:
    from typer import Typer

Advance = Callable[[int, str], None]
"""Called with the number of items just finished and a note to show beside the bar."""

_PLAIN_EVERY = 10.0  # seconds between two plain progress lines


class Reporter(Protocol):
    """Where a job says what it does; pass your own to embed a job in another program."""

    def say(self, line: str) -> None:
        """Show one line."""
        ...

    def progress(self, what: str, total: int) -> AbstractContextManager[Advance]:
        """Open a progress display of `total` items."""
        ...


class Quiet:
    """Says nothing: for tests and for use as a library."""

    def say(self, line: str) -> None:
        """See `Reporter.say`."""

    def progress(self, what: str, total: int) -> AbstractContextManager[Advance]:  # noqa: ARG002
        """See `Reporter.progress`."""
        return nullcontext(lambda _n, _note: None)


class Terminal:
    """Lines on standard output; a live bar where that is a terminal."""

    def say(self, line: str) -> None:
        """See `Reporter.say`."""
        print(line, flush=True)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Advance]:
        """See `Reporter.progress`."""
        display = _live if sys.stdout.isatty() else _plain
        with display(what, total) as advance:
            yield advance


@contextmanager
def _live(what: str, total: int) -> Iterator[Advance]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(what, total=total, note="")
        yield lambda n, note: progress.update(task, advance=n, note=note)


@contextmanager
def _plain(what: str, total: int) -> Iterator[Advance]:
    done, shown = 0, time.monotonic()

    def advance(n: int, note: str) -> None:
        nonlocal done, shown
        done += n
        if time.monotonic() - shown >= _PLAIN_EVERY:
            shown = time.monotonic()
            print(f"{what}: {done}/{total} {note}".rstrip(), flush=True)

    yield advance


def run_app(app: Typer, name: str) -> NoReturn:
    """Run a command line; errors of ours become one line on standard error and their exit code."""
    # `kill`, a container's stop and a cluster's scheduler end a job as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(prog_name=name)
    except EastError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a mount that is gone: nothing that the program can mend
        print(f"{name}: {error}; what is done stays, mend it and run the same again", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


Number = TypeVar("Number", int, float)


def numbers(values: Sequence[str] | None, kind: Callable[[str], Number], option: str) -> tuple[Number, ...]:
    """As `names`, for numbers.

    Raises:
        RefusedError: One of them is no number.
    """
    try:
        return tuple(kind(part) for part in names(values))
    except ValueError as error:
        raise RefusedError(f"{option} {','.join(values or ())}: {error}") from error


def names(values: Sequence[str] | None) -> tuple[str, ...]:
    """Flatten a list option, which repeats and takes commas: ["a,b", "c"] -> ("a", "b", "c")."""
    return tuple(part.strip() for value in values or () for part in value.split(",") if part.strip())
