"""What runs out or goes away under a job: it stops with one line, and the same command finishes later."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from east.common.blocks import State, states
from east.common.errors import EastError, RefusedError
from east.common.store import open_store
from east.extract.job import ExtractResult
from east.extract.repair import VerifyConfig, verify

Job = Callable[..., ExtractResult]
Same = Callable[[Path, Path], None]
Start = Callable[..., "subprocess.Popen[str]"]
ARGUMENTS = ("--teacher", "tiny", "--weights", "tiny=random", "--max-seconds", "2", "--block", "2")


def done(store: Path) -> int:
    """Clips that the tiny teacher has done."""
    files = list(store.glob("teachers/tiny/state/c/*"))
    return int((states(open_store(str(store)).teacher_group("tiny")) == State.DONE).sum()) if files else 0


def wait_for(condition: Callable[[], object], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which a test may fill or make read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> bool:
    command = ["mount", "-o", f"remount,{options}", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def check_stopped_and_mended(
    job: "subprocess.Popen[str]",
    reason: str,
    root: Path,
    store: Path,
    mend: Callable[[], object],
    start: Start,
    plugins: Path,
) -> None:
    """The job stops with one line, its done blocks are whole, and the same command finishes."""
    _, error = job.communicate(timeout=600)
    assert job.returncode == 1
    assert reason in error
    assert len(error.splitlines()) == 1
    before = done(store)
    assert 0 < before < 20
    assert verify(VerifyConfig(str(store))) == []
    mend()
    again = start("esc50", root, store, *ARGUMENTS, PYTHONPATH=str(plugins))
    output, error = again.communicate(timeout=600)
    assert again.returncode == 0, error
    assert output.splitlines()[-1] == f"{store}: 20 done, 0 failed"


@pytest.mark.slow
def test_a_disk_that_fills_up(
    tiny_esc50: Path,
    disk: Path,
    tmp_path: Path,
    start: Start,
    plugins: Path,
    tiny_job: Job,
    same_arrays: Same,
) -> None:
    store = disk / "s.zarr"
    job = start("esc50", tiny_esc50, store, *ARGUMENTS, PYTHONPATH=str(plugins), TINY_SECONDS="0.2")
    wait_for(lambda: done(store) >= 4)
    used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*"))
    assert remount(disk, f"size={used + 60_000}")
    check_stopped_and_mended(
        job, "No space left on device", tiny_esc50, store, lambda: remount(disk, "size=100m"), start, plugins
    )
    tiny_job("esc50", tiny_esc50, tmp_path / "whole.zarr", max_seconds=2.0, block=2)
    same_arrays(tmp_path / "whole.zarr", store)


def test_a_store_that_becomes_read_only(tiny_esc50: Path, disk: Path, start: Start, plugins: Path) -> None:
    mounted = disk / "mounted"
    for folder in (disk / "real", mounted, disk / "locks"):
        folder.mkdir()
    subprocess.run(["mount", "--bind", str(disk / "real"), str(mounted)], check=True)
    # A job's locks are open while it works, which would keep the mount busy.
    (mounted / ".s.zarr.locks").symlink_to(disk / "locks")
    try:
        store = mounted / "s.zarr"
        arguments = ("esc50", tiny_esc50, store, *ARGUMENTS)
        job = start(*arguments, PYTHONPATH=str(plugins), TINY_SECONDS="0.5")
        wait_for(lambda: done(store) >= 4)
        wait_for(lambda: remount(mounted, "bind,ro"))  # busy while a file is being written
        check_stopped_and_mended(
            job,
            "Read-only file system",
            tiny_esc50,
            store,
            lambda: remount(mounted, "bind,rw"),
            start,
            plugins,
        )
        assert remount(mounted, "bind,ro")
        again = start(*arguments, PYTHONPATH=str(plugins))
        assert "nothing to compute" in again.communicate(timeout=600)[0]  # needs nothing to be written
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def test_audio_that_disappears(tiny_esc50: Path, tmp_path: Path, start: Start, plugins: Path) -> None:
    store, audio = tmp_path / "s.zarr", tiny_esc50 / "audio"
    job = start("esc50", tiny_esc50, store, *ARGUMENTS, PYTHONPATH=str(plugins), TINY_SECONDS="0.2")
    wait_for(lambda: done(store) >= 4)
    gone = audio.rename(tiny_esc50 / "elsewhere")
    check_stopped_and_mended(
        job, "no audio is there any more", tiny_esc50, store, lambda: gone.rename(audio), start, plugins
    )


def test_audio_that_is_not_there_at_all_is_refused(tiny_esc50: Path, tmp_path: Path, tiny_job: Job) -> None:
    (tiny_esc50 / "audio").rename(tiny_esc50 / "elsewhere")
    with pytest.raises(RefusedError, match=r"no audio is there .*audio/1-101-A-3\.wav and all others"):
        tiny_job("esc50", tiny_esc50, tmp_path / "s.zarr")
    assert not (tmp_path / "s.zarr").exists()


def test_a_block_of_missing_files_alone_is_no_audio_that_disappeared(
    tiny_esc50: Path, tmp_path: Path, tiny_job: Job
) -> None:
    for path in sorted((tiny_esc50 / "audio").iterdir())[:6]:
        path.unlink()
    result = tiny_job("esc50", tiny_esc50, tmp_path / "s.zarr", block=2)
    assert (result.done, result.failed) == (14, 6)


@pytest.mark.parametrize("whom", ["group", "client"])
def test_ctrl_c_and_sigterm_stop_in_the_middle_of_a_block(
    tiny_esc50: Path, tmp_path: Path, start: Start, plugins: Path, whom: str
) -> None:
    store, environment = tmp_path / "s.zarr", {"PYTHONPATH": str(plugins)}
    arguments = ("esc50", tiny_esc50, store, *ARGUMENTS)
    job = start(*arguments, **environment, TINY_SECONDS="600")
    wait_for((store / "teachers" / "tiny" / "state" / "zarr.json").exists)
    time.sleep(1)  # the first block is being computed, and would be for twenty minutes
    if whom == "group":
        os.killpg(job.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    else:
        job.terminate()
    output, error = job.communicate(timeout=60)
    assert job.returncode == 130
    assert output.splitlines()[-1] == "interrupted: what is done stays, the same command goes on from here"
    assert error == ""
    again = start(*arguments, **environment)
    assert again.communicate(timeout=600)[0].splitlines()[-1] == f"{store}: 20 done, 0 failed"


@pytest.mark.slow
def test_a_worker_that_always_dies_is_one_line(
    tiny_esc50: Path, tmp_path: Path, start: Start, plugins: Path
) -> None:
    store = tmp_path / "s.zarr"
    arguments = ("esc50", tiny_esc50, store, *ARGUMENTS)
    job = start(*arguments, PYTHONPATH=str(plugins), TINY_DIES="1")
    _, error = job.communicate(timeout=600)
    assert job.returncode == 1
    assert "worker processes died again and again over clips " in error
    assert len(error.splitlines()) == 1


def test_a_file_system_that_fails_stops_the_job(
    tiny_esc50: Path, tmp_path: Path, tiny_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale handle of a network file system is no bad clip."""

    def stale(path: Path, **options: object) -> None:
        raise OSError(116, "Stale file handle", str(path))

    monkeypatch.setattr(Path, "stat", stale)
    with pytest.raises((OSError, EastError), match="Stale file handle"):
        tiny_job("esc50", tiny_esc50, tmp_path / "s.zarr")
