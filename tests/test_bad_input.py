"""Bad input to every command: one clear line, the right exit code, no traceback, nothing half-written.

The options of `extract run`, `train run` and `train compare` have tables of their own beside those commands.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import zarr

from east.common.store import Store

MakeStore = Callable[..., Store]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
RANDOM = ("--teacher", "musicnn", "--weights", "musicnn=random")

# content of clips.csv -> what the one line says
CSV_FILES = {
    "": "no column 'path'",
    "file,label\n1.wav,a\n": "no column 'path'",
    "path,label\n": "a header but no clips",
    "path,label\n../1.wav,a\n2.wav,b\n": "leaves its root",
    "path,label\n/etc/passwd,a\n2.wav,b\n": "leaves its root",
    "path,label\nlink.wav,a\n2.wav,b\n": "through a link",
    "path,label\n1.wav,a\n1.wav,b\n": "occurs twice",
}


def assert_refused(run: "subprocess.CompletedProcess[str]", message: str) -> None:
    assert run.returncode == 2, run.stderr
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", list(CSV_FILES))
def test_csv_files(tmp_path: Path, command: Run, content: str) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (root / "clips.csv").write_text(content)
    (root / "link.wav").symlink_to("/etc/passwd")
    run = command("extract", "run", "csv", root / "clips.csv", tmp_path / "s.zarr", *RANDOM)
    assert_refused(run, CSV_FILES[content])
    assert not (tmp_path / "s.zarr").exists()


@pytest.mark.parametrize("arguments", [["extract", "info"], ["train", "run"], ["train", "compare"]])
@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "there is no store at"),
        (lambda path: path.mkdir() or (path / "letter.txt").write_text("dear"), "is not a store"),
        (lambda path: path.write_text("dear"), "is not a store"),
        (lambda path: zarr.open_group(path, mode="w", attributes={"east": {"schema": 99}}), "has schema 99"),
    ],
)
def test_what_is_no_store(
    tmp_path: Path, command: Run, arguments: list[str], prepare: Callable[[Path], object], message: str
) -> None:
    prepare(tmp_path / "x")
    system = ["--system", "baseline"] if arguments[1] == "run" else []
    out = [] if arguments[0] == "extract" else ["--out", str(tmp_path / "runs")]
    assert_refused(command(*arguments, tmp_path / "x", *system, *out), message)
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stops_extraction_and_the_same_command_goes_on(
    tiny_esc50: Path, small_disk: Path, command: Run
) -> None:
    arguments = ["extract", "run", "esc50", tiny_esc50, small_disk / "s.zarr", *RANDOM]
    run = command(*arguments)
    assert run.returncode == 1
    assert "No space left on device" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    again = command(*arguments)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1].endswith("20 done, 0 failed")


def test_a_full_disk_stops_training(make_store: MakeStore, small_disk: Path, command: Run) -> None:
    base = ["train", "run", make_store().url, "--system", "baseline", "--channels", 16, "--epochs", 1]
    run = command(*base, "--out", small_disk / "run")
    assert run.returncode == 1
    assert "No space left on device" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not (small_disk / "run" / "results.json").exists()


def test_ctrl_c_stops_training_quietly(make_store: MakeStore, tmp_path: Path) -> None:
    executable = Path(sys.executable).with_name("train")
    base = [str(executable), "run", make_store().url, "--system", "baseline", "--channels", "4"]
    job = subprocess.Popen(
        [*base, "--out", str(tmp_path / "run")],
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGINT)
    output, _ = job.communicate(timeout=30)
    assert job.returncode == 130
    assert "Traceback" not in output
    assert "--resume" in output
    assert not (tmp_path / "run" / "results.json").exists()


def html_page(folder: Path) -> Path:
    page = folder / "page.pt"
    page.write_text("<!doctype html><title>Sign in</title>")
    return page


def pickle_with_code(folder: Path) -> Path:
    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(folder / "ran"),)

    torch.save({"model": Code()}, folder / "code.pth")
    return folder / "code.pth"


@pytest.mark.parametrize(
    ("teacher", "make", "message"),
    [
        ("passt", html_page, "page.pt is no checkpoint of passt"),
        ("panns", pickle_with_code, "code.pth is no checkpoint of panns"),
    ],
)
def test_a_wrong_file_of_weights(
    tmp_path: Path,
    tiny_esc50: Path,
    command: Run,
    teacher: str,
    make: Callable[[Path], Path],
    message: str,
) -> None:
    weights = f"{teacher}={make(tmp_path)}"
    run = command(
        "extract", "run", "esc50", tiny_esc50, tmp_path / "s.zarr", "--teacher", teacher, "--weights", weights
    )
    assert_refused(run, message)
    assert not (tmp_path / "s.zarr").exists()
    assert not (tmp_path / "ran").exists()
