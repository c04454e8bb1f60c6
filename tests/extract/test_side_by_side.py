"""Several processes on one store: workers of one job, jobs of different teachers, one teacher twice."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing import get_context
from pathlib import Path

import pytest

from east.common.blocks import plan
from east.common.errors import RefusedError
from east.extract.job import ExtractResult
from east.extract.lock import alone, lock_folder, sharing
from east.extract.repair import VerifyConfig, verify

Job = Callable[..., ExtractResult]
Same = Callable[[Path, Path], None]
Counting = Callable[..., dict[str, str]]
Start = Callable[..., "subprocess.Popen[str]"]
BLOCK_ARRAYS = ("waveform", "n_samples", "duration", "rate", "mean", "frames", "n_frames", "error", "state")
TINY = ("--teacher", "tiny", "--weights", "tiny=random")
OTHER = ("--teacher", "other", "--weights", "other=random")
SHORT = ("--max-seconds", "0.5", "--max-failed", "1")


def without_blocks(folder: str, names: list[str]) -> list[str]:
    """For `copytree`: leaves out everything that jobs write."""
    return ["c"] if Path(folder).name in BLOCK_ARRAYS else []


def wait_for(condition: Callable[[], object], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_eight_processes_write_disjoint_blocks(
    tiny_root: Path, tmp_path: Path, tiny_job: Job, same_arrays: Same
) -> None:
    """Twenty rounds under random pauses between one file and the next; every chunk is verified."""
    from tiny_teacher import write_block  # type: ignore[import-not-found]

    whole = tmp_path / "whole.zarr"
    tiny_job("esc50", tiny_root, whole, block=2, max_seconds=0.5)
    processes: Counter[int] = Counter()
    context = get_context("forkserver")
    context.set_forkserver_preload(["tiny_teacher"])
    with ProcessPoolExecutor(8, mp_context=context) as pool:
        for number in range(20):
            store = tmp_path / f"{number}.zarr"
            shutil.copytree(whole, store, ignore=without_blocks)
            blocks = plan(20, 2)
            random.Random(number).shuffle(blocks)
            seeds = range(10 * number, 10 * (number + 1))
            processes.update(pool.map(write_block, [str(store)] * 10, [tiny_root] * 10, blocks, seeds))
            assert verify(VerifyConfig(str(store))) == []
            same_arrays(whole, store)
    assert len(processes) == 8
    assert processes.total() == 200


def test_two_teachers_at_once_write_everything_once(
    tiny_root: Path, tmp_path: Path, start: Start, counting: Counting, tiny_job: Job, same_arrays: Same
) -> None:
    """Both jobs start where there is no store yet, and meet in every block."""
    store, logs = tmp_path / "s.zarr", [tmp_path / "tiny.log", tmp_path / "other.log"]
    jobs = [
        start("esc50", tiny_root, store, *teacher, *SHORT, **counting(store, log), TINY_SECONDS="0.05")
        for teacher, log in zip((TINY, OTHER), logs, strict=True)
    ]
    for job in jobs:
        output, error = job.communicate(timeout=600)
        assert job.returncode == 0, error
        assert output.splitlines()[-1] == f"{store}: 18 done, 2 failed"
    written = Counter(line.split()[1] for log in logs for line in log.read_text().splitlines())
    chunks = {path: count for path, count in written.items() if "/c/" in path}
    assert len([path for path in chunks if "/audio/waveform/" in path]) == 10
    assert set(chunks.values()) == {1}
    tiny_job("esc50", tiny_root, tmp_path / "whole.zarr", teachers=("tiny", "other"), max_seconds=0.5)
    same_arrays(tmp_path / "whole.zarr", store)
    assert verify(VerifyConfig(str(store))) == []


def test_the_same_teacher_twice_is_refused_and_a_killed_job_leaves_no_stale_lock(
    tiny_root: Path, tmp_path: Path, start: Start, plugins: Path
) -> None:
    store, environment = tmp_path / "s.zarr", {"PYTHONPATH": str(plugins)}
    arguments = ("esc50", tiny_root, store, *TINY, *SHORT)
    first = start(*arguments, **environment, TINY_SECONDS="5")
    wait_for((lock_folder(str(store)) / "teacher-tiny").exists)
    wait_for(lambda: (lock_folder(str(store)) / "teacher-tiny").read_text())
    second = start(*arguments, **environment)
    _, error = second.communicate(timeout=600)
    assert second.returncode == 2
    assert len(error.splitlines()) == 1
    assert f"another job writes teacher tiny into {store} (host " in error
    assert f"process {first.pid}, since " in error
    assert f"if its machine is gone, delete {lock_folder(str(store)) / 'teacher-tiny'}" in error
    first.send_signal(signal.SIGKILL)
    first.wait()
    third = start(*arguments, **environment)
    output, error = third.communicate(timeout=600)
    assert third.returncode == 0, error
    assert output.splitlines()[-1] == f"{store}: 18 done, 2 failed"


def assert_refused(lock: AbstractContextManager[object], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        lock.__enter__()


def test_locks(tmp_path: Path) -> None:
    url = str(tmp_path / "s.zarr")
    with sharing(url, ["a"]) as kept, sharing(url, ["b", "hear-x/y"]):
        assert kept
        assert_refused(sharing(url, ["c", "b"]), rf"another job writes teacher b .*process {os.getpid()}")
        with sharing(url, ["c"]):  # what was refused is free again
            pass
        assert_refused(alone(url, "--append"), r"--append needs .* for itself, and a job works on it")
    with alone(url, "--append"):
        assert_refused(sharing(url, ["a"]), "is being repaired or grown")
    assert list(tmp_path.iterdir()) == [lock_folder(url)]


def test_a_deleted_lock_is_free(tmp_path: Path) -> None:
    """The way out that the message names, for locks of a machine that is gone."""
    url = str(tmp_path / "s.zarr")
    with sharing(url, ["a"]):
        (lock_folder(url) / "teacher-a").unlink()
        with sharing(url, ["a"]) as kept:
            assert kept


def test_a_store_at_a_url_has_no_locks() -> None:
    with sharing("s3://bucket/s.zarr", ["a"]) as first, sharing("s3://bucket/s.zarr", ["a"]) as second:
        assert (first, second) == (False, False)


def test_locks_that_cannot_be_made_are_refused(tmp_path: Path) -> None:
    (tmp_path / ".s.zarr.locks").write_text("in the way")
    message = r"\.s\.zarr\.locks cannot be written \(File exists\)"
    assert_refused(sharing(str(tmp_path / "s.zarr"), ["a"]), message)
