"""SIGKILL at any write, to the client or to a worker: the same command goes on, and nothing is done twice."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from east.common.errors import RefusedError
from east.extract.repair import VerifyConfig, verify
from east.extract.teachers.musicnn import Musicnn
from east.extract.weights import resolve_weights

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Same = Callable[[Path, Path], None]
Counting = Callable[..., dict[str, str]]
Start = Callable[..., "subprocess.Popen[str]"]


class Killings:
    """A job over 40 recordings of ESC-10 in blocks of 4, killed where a test wants it."""

    def __init__(self, root: Path, folder: Path, start: Start, counting: Counting) -> None:
        self.root, self.folder, self.start, self.counting = root, folder, start, counting
        self.whole, self.log = folder / "whole.zarr", folder / "whole.log"
        self.run(self.whole, self.log)
        self.writes = [line.split()[0] for line in self.log.read_text().splitlines()]

    def run(self, store: Path, log: Path, kill: str = "") -> int:
        arguments = ("esc50", self.root, store, "--teacher", "musicnn", "--block", 4)
        job = self.start(*arguments, **self.counting(store, log, kill))
        output, error = job.communicate(timeout=600)
        assert job.returncode in (0, -9), error
        assert job.returncode == -9 or output.splitlines()[-1] == f"{store}: 40 done, 0 failed"
        return job.returncode

    def points(self, whom: str, number: int) -> list[int]:
        """Write numbers at which to kill, spread over the whole job; the same ones every time."""
        n = len(self.writes) if whom == "client" else self.writes.count("worker")
        return sorted(random.Random(f"{whom} {number}").sample(range(1, n + 1), number))

    def check(self, store: Path, log: Path, same_arrays: Same) -> None:
        """The store is the uninterrupted one, and no block was written again after it was done."""
        same_arrays(self.whole, store)
        assert verify(VerifyConfig(str(store))) == []
        done = set()
        for line in log.read_text().splitlines():
            part, chunk, rest = line.split()[1].partition("/c/")
            if not chunk or Path(part).parent == store:
                continue
            block = (str(Path(part).parent), rest.split("/")[0])
            assert block not in done, line
            if Path(part).name == "state":
                done.add(block)
        assert len(done) == 20


@pytest.fixture
def killings(esc10_part: Callable[[int], Path], tmp_path: Path, start: Start, counting: Counting) -> Killings:
    try:
        resolve_weights(Musicnn.info, None)
    except RefusedError as error:
        pytest.skip(str(error))
    return Killings(esc10_part(10), tmp_path, start, counting)


def kill_client(killings: Killings, same_arrays: Same, number: int) -> None:
    for point in killings.points("client", number):
        store, log = killings.folder / f"client{point}.zarr", killings.folder / f"client{point}.log"
        assert killings.run(store, log, f"client:{point}") == -9
        assert killings.run(store, log) == 0  # at once: the worker may just have time to see that it is alone
        killings.check(store, log, same_arrays)


def kill_worker(killings: Killings, same_arrays: Same, number: int) -> None:
    points = killings.points("worker", number)
    for first in range(0, number, 3):
        some = points[first : first + 3]
        store, log = killings.folder / f"worker{first}.zarr", killings.folder / f"worker{first}.log"
        # The job goes on by itself with a new worker.
        assert killings.run(store, log, f"worker:{','.join(map(str, some))}") == 0
        killings.check(store, log, same_arrays)


def test_killed_at_some_writes(killings: Killings, same_arrays: Same) -> None:
    kill_client(killings, same_arrays, 1)
    kill_worker(killings, same_arrays, 2)


@pytest.mark.slow
def test_client_killed_at_thirty_writes(killings: Killings, same_arrays: Same) -> None:
    kill_client(killings, same_arrays, 30)


@pytest.mark.slow
def test_worker_killed_at_thirty_writes(killings: Killings, same_arrays: Same) -> None:
    kill_worker(killings, same_arrays, 30)
