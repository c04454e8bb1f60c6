"""`extract run` and `extract info` as a user runs them, musicnn with random weights."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from east.common.blocks import State, states
from east.common.errors import EastError, RefusedError
from east.common.store import array_of, open_store
from east.common.terminal import Quiet
from east.extract.config import ExtractConfig
from east.extract.info import describe
from east.extract.job import extract, make_plan

Run = Callable[..., "subprocess.CompletedProcess[str]"]
RANDOM = ("--teacher", "musicnn", "--weights", "musicnn=random")


def config(root: Path, store: Path, **changes: object) -> ExtractConfig:
    values: dict[str, object] = {"teachers": ("musicnn",), "weights": {"musicnn": "random"}}
    return ExtractConfig("esc50", root, str(store), **{**values, **changes})  # type: ignore[arg-type]


def test_run_again_and_info(tiny_esc50: Path, tmp_path: Path, command: Run) -> None:
    store = tmp_path / "tiny.zarr"
    first = command("extract", "run", "esc50", tiny_esc50, store, *RANDOM)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == f"{store}: 20 done, 0 failed"
    assert first.stderr == ""
    files = {p: p.stat().st_mtime_ns for p in store.rglob("*") if p.is_file()}
    again = command("extract", "run", "esc50", tiny_esc50, store, *RANDOM)
    assert again.returncode == 0
    assert "nothing to compute" in again.stdout
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*") if p.is_file()} == files

    info = command("extract", "info", store)
    assert info.returncode == 0
    assert "audio: 20 done, 0 failed, 0 pending" in info.stdout
    assert "teacher musicnn: 20 done, 0 failed, 0 pending" in info.stdout
    assert "RANDOM" in info.stdout
    assert "licences: code ISC, weights ISC" in info.stdout
    assert "protocol 3-1-1: 5 folds, the first: 4 test, 12 train, 4 valid" in info.stdout


def test_splits_of_every_fold_are_in_the_store(tiny_esc50: Path, tmp_path: Path) -> None:
    extract(config(tiny_esc50, tmp_path / "s.zarr"))
    columns = open_store(str(tmp_path / "s.zarr")).columns()
    assert columns.splits["3-1-1"].shape == (5, 20)
    assert columns.splits["3-1-1"][4, ::4].tolist() == ["valid", "train", "train", "train", "test"]
    assert columns.splits["4-1"][4, ::4].tolist() == ["train", "train", "train", "train", "test"]


def test_bad_files_are_recorded_and_the_job_goes_on(tiny_esc50: Path, tmp_path: Path, command: Run) -> None:
    audio = sorted((tiny_esc50 / "audio").iterdir())
    audio[3].write_bytes(b"")
    audio[7].write_text("These are words, not music.")
    audio[11].write_bytes(audio[11].read_bytes()[:6000])
    store = tmp_path / "s.zarr"
    run = command("extract", "run", "esc50", tiny_esc50, store, *RANDOM, "--max-failed", "0.2")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == f"{store}: 17 done, 3 failed"
    lines = list(describe(str(store)))
    assert f"  failed {audio[3].stem}: the file is empty (0 bytes)" in lines
    assert f"  failed {audio[7].stem}: cannot be decoded: Format not recognised." in lines
    assert any(re.match(rf"  failed {audio[11].stem}: truncated: ", line) for line in lines)


def test_too_many_failures_are_exit_code_1_and_the_store_stays(
    tiny_esc50: Path, tmp_path: Path, command: Run
) -> None:
    for path in sorted((tiny_esc50 / "audio").iterdir())[:3]:
        path.unlink()
    run = command("extract", "run", "esc50", tiny_esc50, tmp_path / "s.zarr", *RANDOM)
    assert run.returncode == 1
    assert "3 of 20 clips failed, more than --max-failed 0.1" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert (states(open_store(str(tmp_path / "s.zarr")).audio) == State.DONE).sum() == 17


def test_own_files_of_any_length_rate_and_format(
    tmp_path: Path, tone: Callable[..., None], command: Run
) -> None:
    tone(tmp_path / "in" / "short.wav", 0.3)
    tone(tmp_path / "in" / "a b" / "long é.ogg", 9.5, 44_100, channels=2)
    tone(tmp_path / "in" / "x.mp3", 4.0, 22_050)
    tone(tmp_path / "in" / "y.flac", 3.5, 48_000)
    rows = ["path,labels", "short.wav,hum", "a b/long é.ogg,hum;long", "x.mp3,", "y.flac,long"]
    (tmp_path / "in" / "clips.csv").write_text("\n".join(rows), encoding="utf-8")
    run = command(
        "extract",
        "run",
        "csv",
        tmp_path / "in" / "clips.csv",
        tmp_path / "s.zarr",
        *RANDOM,
        "--max-seconds",
        "8",
    )
    assert run.returncode == 0, run.stderr
    assert "split by a hash of the id" in run.stdout
    group = open_store(str(tmp_path / "s.zarr")).teacher_group("musicnn")
    assert np.asarray(array_of(group, "n_frames")[:]).tolist() == [1, 6, 2, 1]
    lengths = array_of(open_store(str(tmp_path / "s.zarr")).audio, "n_samples")
    assert np.asarray(lengths[:]).tolist()[:2] == [4_800, 128_000]


def test_ctrl_c_stops_quietly_and_the_same_command_goes_on(
    tiny_esc50: Path, tmp_path: Path, command: Run
) -> None:
    store = tmp_path / "s.zarr"
    executable = Path(sys.executable).with_name("extract")
    arguments = ["run", "esc50", str(tiny_esc50), str(store), *RANDOM, "--block", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    job = subprocess.Popen([str(executable), *arguments], text=True, start_new_session=True, **pipes)  # type: ignore[call-overload]
    deadline = time.monotonic() + 60
    while not list(store.glob("teachers/musicnn/state/c/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(job.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    output, _ = job.communicate(timeout=30)
    assert job.returncode == 130
    assert "the same command goes on from here" in output
    assert "Traceback" not in output
    assert command("extract", *arguments).returncode == 0


def test_overwrite_replaces_the_named_teacher_only(tiny_esc50: Path, tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    extract(config(tiny_esc50, store))
    audio = {p: p.stat().st_mtime_ns for p in (store / "audio").rglob("c/*")}
    result = extract(config(tiny_esc50, store, dtype="float16", overwrite=True))
    assert (result.computed, result.done) == (20, 20)
    assert open_store(str(store)).teacher_record("musicnn").dtype == "float16"
    assert {p: p.stat().st_mtime_ns for p in (store / "audio").rglob("c/*")} == audio


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_seconds": 2.0}, r"made with max_seconds = 5.0, now it is 2.0"),
        ({"limit": 7}, r"made with index_sha256 = "),
        (
            {"dtype": "float16"},
            r'teacher musicnn .* made with dtype = "float32", now it is "float16".*--overwrite',
        ),
        ({"block": 9}, r"has --block 2 since its creation"),
    ],
)
def test_another_identity_is_refused_and_nothing_changes(
    tiny_esc50: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    store = tmp_path / "s.zarr"
    extract(config(tiny_esc50, store))
    files = {p: p.stat().st_mtime_ns for p in store.rglob("*") if p.is_file()}
    with pytest.raises(RefusedError, match=message):
        extract(config(tiny_esc50, store, **changes))
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*") if p.is_file()} == files


def test_other_weights_are_refused(tiny_esc50: Path, tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    extract(config(tiny_esc50, store))
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(RefusedError, match=r'made with weights = "random-seed-0", now it is "d9298a10'):
        make_plan(config(tiny_esc50, store, weights={"musicnn": str(tmp_path / "other")}), Quiet())


def test_wrong_weights_make_no_store(tiny_esc50: Path, tmp_path: Path, command: Run) -> None:
    (tmp_path / "page.html").write_text("<html>404</html>")
    run = command(
        "extract", "run", "esc50", tiny_esc50, tmp_path / "s.zarr",
        "--teacher", "musicnn", "--weights", f"musicnn={tmp_path / 'page.html'}",
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.splitlines() == [run.stderr.strip()]
    assert "not the checkpoint of MSD_musicnn" in run.stderr
    assert not (tmp_path / "s.zarr").exists()


def test_moved_audio_is_no_other_identity(tiny_esc50: Path, tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    extract(config(tiny_esc50, store))
    moved = tmp_path / "moved"
    shutil.move(tiny_esc50, moved)
    assert extract(config(moved, store)).computed == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", ".", "s.zarr", *RANDOM], "unknown data set 'nothing'"),
        (["esc50", "no/such/folder", "s.zarr", *RANDOM], "no/such/folder/meta/esc50.csv is missing"),
        (["esc50", ".", "s.zarr", *RANDOM], "esc50.csv is missing"),
        (["csv", ".", "s.zarr", *RANDOM], "ROOT is a CSV file, not a folder"),
        (["esc50", ".", "s.zarr", "--teacher", "musicn"], "did you mean 'musicnn'"),
        (["esc50", ".", "s.zarr", *RANDOM, "--limit", "-3"], "--limit -3 must be at least 1"),
        (["esc50", ".", "s.zarr", *RANDOM, "--batch-size", "0"], "--batch-size 0 must be at least 1"),
        (["esc50", ".", "s.zarr", *RANDOM, "--max-seconds", "-1"], "--max-seconds -1 must be above 0"),
        (["esc50", ".", "s.zarr", *RANDOM, "--max-failed", "7"], "--max-failed 7 is a share"),
        (["esc50", ".", "s.zarr", *RANDOM, "--dtype", "int8"], "--dtype 'int8' is not known"),
        (["esc50", ".", "s.zarr", *RANDOM, "--device", "tpu"], "--device 'tpu' is not known"),
        (["esc50", ".", "s.zarr", "--teacher", "musicnn", "--weights", "random"], "is not NAME=PATH"),
        (["esc50", ".", "s.zarr", "--teacher", "musicnn", "--weights", "passt=random"], "names 'passt'"),
        (["esc50", ".", "s.zarr", "--teacher", ","], "no teacher is named"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, command: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run = command("extract", "run", *arguments)
    assert run.returncode == 2
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_store_is_refused(tiny_esc50: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(EastError, match="exists and is not a store"):
        extract(config(tiny_esc50, tmp_path / "letters"))
    assert [p.name for p in (tmp_path / "letters").iterdir()] == ["a.txt"]


def test_an_error_on_a_worker_is_one_line(tiny_esc50: Path, tmp_path: Path, command: Run) -> None:
    run = command("extract", "run", "esc50", tiny_esc50, tmp_path / "s.zarr", *RANDOM, "--device", "cuda")
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert not (tmp_path / "s.zarr").exists()
