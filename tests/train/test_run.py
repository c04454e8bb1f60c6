"""`train run` as a user runs it, on a store that the test makes."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from east.common.errors import RefusedError
from east.common.store import Store
from east.train.config import TrainConfig
from east.train.run import train
from east.train.scored_clips import ScoredClips, summarise
from east.train.systems import SYSTEMS

MakeStore = Callable[..., Store]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

# Runs a command and kills its own process at the n-th time that a file is about to get its final name.
KILL_AT = """
import os, signal, sys
from pathlib import Path
from east.train.cli import main
left, replace = int(sys.argv[1]), Path.replace
def counting(self, target):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = counting
sys.argv = ["train", *sys.argv[2:]]
main()
"""

KEYS = [
    *("dataset", "protocol", "task", "system", "student", "teacher", "control", "fold", "seed", "epochs"),
    *("parameters", "labelled", "unlabelled", "valid", "test", "test_interval", "per_class"),
    *("per_class_interval", "left_out_classes", "teacher_weights", "store"),
]


def config(store: Store, out: Path, system: str = "east-dc+linear", **changes: object) -> TrainConfig:
    values: dict[str, object] = {
        "teacher": "t" if SYSTEMS[system].needs_teacher else None,
        "channels": 2,
        "epochs": 2,
        "lr": 1e-3,
        "out": out,
    }
    return TrainConfig(store.url, system, **{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["multi-class", "multi-label"])
@pytest.mark.parametrize("system", list(SYSTEMS))
def test_every_system_trains_and_tests(make_store: MakeStore, tmp_path: Path, system: str, task: str) -> None:
    labels = np.eye(2, dtype=np.int8)[np.arange(48) % 2]
    labels[[0, 1]] = -1
    if task == "multi-label":
        labels[2:6, 0] = -1  # some unknown pairs beside the clips without any label
    store = make_store(task=task, labels=labels, failed=(5,))
    results = train(config(store, tmp_path / "run", system))
    assert list(results) == KEYS
    distance = SYSTEMS[system].distance is not None
    assert (results["labelled"], results["unlabelled"]) == (29, 2 if distance else 0)
    assert set(results["test"]) == ({"accuracy"} if task == "multi-class" else {"map", "roc_auc"})
    assert all(0 <= value <= 1 for value in results["test"].values())
    assert list(results["per_class"]) == ["a", "b"]
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.yaml", "timing.json", "best.safetensors", "scores.npz", "results.json"} <= files
    if SYSTEMS[system].student:
        assert "metrics.csv" in files
        assert any(name.startswith("events.out.tfevents") for name in files)


@pytest.mark.parametrize(("channels", "system"), list(enumerate(SYSTEMS, start=1)))
def test_the_harmonic_cnn_in_every_system(
    make_store: MakeStore, tmp_path: Path, system: str, channels: int
) -> None:
    run = config(make_store(), tmp_path / "run", system, student="hcnn", channels=channels, epochs=1)
    results = train(run)
    assert 0 <= results["test"]["accuracy"] <= 1
    if SYSTEMS[system].student:
        assert results["student"] == "hcnn"
        q = load_file(tmp_path / "run" / "best.safetensors")["student.filters.q"]
        assert q.item() != 1  # it was trained


@pytest.mark.parametrize("system", ["east-fitnet+linear", "east-dc+linear"])
def test_compression_by_a_deeper_map_is_another_run(
    make_store: MakeStore, tmp_path: Path, system: str
) -> None:
    run = config(make_store(), tmp_path / "run", system, compression="mlp", epochs=1)
    train(run)
    weights = load_file(tmp_path / "run" / "best.safetensors")
    maps = {name: tuple(w.shape) for name, w in weights.items() if name.startswith("transformation.map.")}
    assert [shape for name, shape in maps.items() if name.endswith("weight")] == [(8, 6), (8, 8)]
    assert run.hash("", "") != replace(run, compression="linear").hash("", "")


def test_the_ceiling_learns_what_the_embeddings_tell(make_store: MakeStore, tmp_path: Path) -> None:
    assert train(config(make_store(), tmp_path / "run", "teacher-lr"))["test"]["accuracy"] == 1


def test_the_student_learns(make_store: MakeStore, tmp_path: Path) -> None:
    results = train(config(make_store(), tmp_path / "run", "baseline", epochs=15, lr=1e-2, channels=4))
    assert results["test"]["accuracy"] == 1


@pytest.mark.parametrize("system", ["east-dc+linear", "teacher-lr"])
def test_same_seed_same_bytes_and_no_audio_needed(
    make_store: MakeStore, tmp_path: Path, command: Run, system: str
) -> None:
    store = make_store()
    assert not (tmp_path / store.header.root).exists()  # nothing but the store is there
    texts = []
    for name in ("one", "two"):
        out = tmp_path / name
        run = command(
            "train", "run", store.url, "--system", system, "--teacher", "t", "--channels", 2, "--epochs", 2,
            "--out", out,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        assert run.stderr == ""
        texts.append((out / "results.json").read_bytes())
        best = load_file(out / "best.safetensors")
        assert all(tensor.isfinite().all() for tensor in best.values())
    assert texts[0] == texts[1]
    other = train(config(store, tmp_path / "three", system, seed=1))
    assert other["seed"] == 1


@pytest.mark.parametrize("system", ["baseline", "teacher-lr"])
def test_statistics_can_be_redone_from_the_run_folder(
    make_store: MakeStore, tmp_path: Path, system: str
) -> None:
    store = make_store(task="multi-label")
    results = train(config(store, tmp_path / "run", system))
    with np.load(tmp_path / "run" / "scores.npz", allow_pickle=False) as file:
        assert file["clip_id"].tolist() == [f"clip{i:03d}" for i in (10, 11, 22, 23, 34, 35, 46, 47)]
        assert (file["scores"].shape, file["scores"].dtype) == ((8, 2), np.float32)
        np.testing.assert_array_equal(file["labels"], np.eye(2)[[0, 1] * 4])
    again = summarise(ScoredClips.load(tmp_path / "run" / "scores.npz"))
    assert {key: results[key] for key in again} == again
    assert again["left_out_classes"] == []
    for metric, value in again["test"].items():
        low, high = again["test_interval"][metric]
        assert 0 <= low <= value <= high <= 1


def test_failed_clips_are_left_out_and_counted(make_store: MakeStore, tmp_path: Path, command: Run) -> None:
    store = make_store(failed=(3, 9, 11))
    run = command(
        "train", "run", store.url, "--system", "teacher-lr", "--teacher", "t", "--out", tmp_path / "r"
    )
    assert run.returncode == 0, run.stderr
    assert "3 of 48 clips are left out: they failed in extraction" in run.stdout
    results = json.loads((tmp_path / "r" / "results.json").read_text())
    assert results["labelled"] == 31  # of 32; the other two were for validation and testing


def test_where_the_store_lies_does_not_matter(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    first = train(config(store, tmp_path / "one"))
    moved = tmp_path / "moved.zarr"
    shutil.move(store.url, moved)
    again = TrainConfig(
        str(moved), "east-dc+linear", "t", channels=2, epochs=2, lr=1e-3, out=tmp_path / "one"
    )
    assert train(again) == first  # found finished, not trained again


def test_what_is_logged_each_epoch(make_store: MakeStore, tmp_path: Path) -> None:
    train(config(make_store(), tmp_path / "run", epochs=3))
    with (tmp_path / "run" / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["epoch"] for line in lines] == ["1", "2", "3"]
    expected = ["loss", "pred", "dist", "dist_shuffled", "teacher", "compact_variance"]
    assert [name for name in lines[0] if name.startswith("train/")] == [f"train/{name}" for name in expected]
    assert all(float(line["train/compact_variance"]) > 0 for line in lines)
    # The valid loss leaves L_teacher out.
    for line in lines:
        pred, dist = float(line["valid/pred"]), float(line["valid/dist"])
        assert float(line["valid/loss"]) == pytest.approx(0.5 * pred + 0.5 * dist, rel=1e-4)


def test_config_says_what_the_run_is_and_whose_licences_it_carries(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    results = train(config(store, tmp_path / "run"))
    document = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert document["config"]["system"] == "east-dc+linear"
    assert document["trained_on"]["teacher"]["licences"] == {"code": "MIT", "weights": "MIT"}
    assert document["trained_on"]["classes"] == ["a", "b"]
    assert results["teacher_weights"] == {"source": "file", "sha256": "1" * 64}
    assert results["store"] == store.identity("t")


def test_default_folder_names_the_run(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = make_store()
    train(config(store, None, "baseline"))  # type: ignore[arg-type]
    train(config(store, None, "teacher-lr", seed=3))  # type: ignore[arg-type]
    names = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "runs").iterdir())
    assert names == ["baseline-none-sc-cnn-given-f0-s0", "teacher-lr-t-none-given-f0-s3"]


def test_without_valid_the_last_weights_are_kept(make_store: MakeStore, tmp_path: Path) -> None:
    splits = {"given": np.array([["train"] * 40 + ["test"] * 8])}
    store = make_store(splits=splits)
    results = train(config(store, tmp_path / "run", epochs=2))
    assert results["valid"] is None
    assert results["epochs"] == 2
    with pytest.raises(RefusedError, match="--epochs"):
        train(config(store, tmp_path / "other", epochs=None))


def test_a_finished_run_is_not_trained_again_and_another_one_is_refused(
    make_store: MakeStore, tmp_path: Path, command: Run
) -> None:
    store, out = make_store(), tmp_path / "run"
    arguments = [
        "train",
        "run",
        store.url,
        "--system",
        "baseline",
        "--channels",
        2,
        "--epochs",
        1,
        "--out",
        out,
    ]
    assert command(*arguments).returncode == 0
    files = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    again = command(*arguments)
    assert again.returncode == 0
    assert "nothing to train" in again.stdout
    other = command(*arguments, "--seed", 1)
    assert other.returncode == 2
    assert "holds another run" in other.stderr
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == files


def test_an_interrupted_run_starts_over(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    expected = train(config(store, tmp_path / "whole"))
    train(config(store, tmp_path / "cut"))
    (tmp_path / "cut" / "results.json").unlink()
    (tmp_path / "cut" / "best.safetensors").write_bytes(b"half")
    assert train(config(store, tmp_path / "cut")) == expected
    lines = (tmp_path / "cut" / "metrics.csv").read_text().splitlines()
    assert len(lines) == 3  # a head and two epochs, nothing of the first attempt


@pytest.mark.parametrize("writes", [1, 2, 3, 5, 7])
def test_killed_anywhere_and_resumed_ends_with_the_same_bytes(
    make_store: MakeStore, tmp_path: Path, writes: int
) -> None:
    """The run is killed right before one of its files gets its name: weights, checkpoint, ..., results."""
    store = make_store()
    arguments = ["run", store.url, "--system", "east-dc+linear", "--teacher", "t", "--channels", "2"]
    arguments += ["--epochs", "3", "--lr", "1e-3", "--label-share", "0.5", "--out", str(tmp_path / "cut")]
    train(config(store, tmp_path / "whole", epochs=3, label_share=0.5))
    killed = subprocess.run([sys.executable, "-c", KILL_AT, str(writes), *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut" / "results.json").exists()
    train(config(store, tmp_path / "cut", epochs=3, label_share=0.5, resume=True))
    for name in ("results.json", "best.safetensors", "metrics.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_resume_of_nothing_starts_from_the_beginning(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    results = train(config(store, tmp_path / "run", resume=True))
    assert results == train(config(store, tmp_path / "other"))


def test_a_damaged_checkpoint_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    train(config(store, tmp_path / "run"))
    (tmp_path / "run" / "results.json").unlink()
    (tmp_path / "run" / "last.ckpt").write_bytes(b"half")
    with pytest.raises(RefusedError, match="leave --resume out to start over"):
        train(config(store, tmp_path / "run", resume=True))


def test_bfloat16_trains_with_the_distance_in_float32(
    make_store: MakeStore, tmp_path: Path, command: Run
) -> None:
    base = ["train", "run", make_store().url, "--system", "east-dc+linear", "--teacher", "t", "--channels", 2]
    run = command(*base, "--epochs", 1, "--precision", "bf16-mixed", "--out", tmp_path / "run")
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""  # no library's notices
    assert (tmp_path / "run" / "results.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--system", "east"], "unknown system 'east': choose from teacher-lr"),
        (["--system", "east-dc"], "needs embeddings: give --teacher NAME"),
        (["--system", "baseline", "--teacher", "t"], "uses no teacher"),
        (["--system", "east-dc", "--teacher", "passt"], "has no embeddings of teacher 'passt' (it has: t)"),
        (["--system", "baseline", "--student", "resnet"], "unknown student 'resnet'"),
        (["--system", "baseline", "--protocol", "5-5"], "has no protocol '5-5'"),
        (["--system", "baseline", "--fold", "1"], "has no folds"),
        (["--system", "baseline", "--epochs", "-1"], "--epochs -1 must be at least 1"),
        (["--system", "baseline", "--channels", "0"], "--channels 0 must be at least 1"),
        (["--system", "baseline", "--lr", "0"], "--lr 0 must be above 0"),
        (["--system", "baseline", "--label-share", "0"], "--label-share 0 is a share"),
        (["--system", "baseline", "--label-share", "0.01"], "leaves 2 labelled training clips"),
        (["--system", "baseline", "--unlabelled", "use"], "has no distance to use unlabelled clips for"),
        (["--system", "baseline", "--control", "shuffled"], "--control is for systems with a distance"),
        (["--system", "east-dc", "--teacher", "t", "--control", "x"], "--control 'x' is not known"),
        (["--system", "baseline", "--unlabelled", "keep"], "--unlabelled 'keep' is not known"),
        (
            ["--system", "east-dc", "--teacher", "t", "--weight", "1.5"],
            "--weight 1.5 must be between 0 and 1",
        ),
        (["--system", "east-dc", "--teacher", "t", "--batch-size", "3"], "--batch-size 3 is too small"),
        (["--system", "baseline", "--device", "gpu"], "--device 'gpu' is not known"),
        (
            ["--system", "baseline", "--device", "cuda"],
            "--device cuda --precision 32-true cannot be had here",
        ),
        (["--system", "baseline", "--precision", "16-mixed", "--device", "cpu"], "use bf16-mixed on a CPU"),
        (["--system", "baseline", "--precision", "64"], "--precision '64' is not known"),
        (["--system", "east-dc", "--teacher", "t", "--normalize", "l2"], "--normalize 'l2' is not known"),
        (
            ["--system", "east-fitnet+linear", "--teacher", "t", "--compression-dim", "7"],
            "--compression-dim 7 does not fit",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    make_store: MakeStore, tmp_path: Path, command: Run, arguments: list[str], message: str
) -> None:
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    run = command("train", "run", make_store().url, *arguments, "--out", tmp_path / "run")
    assert run.returncode == 2
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_several_ranks_are_refused(make_store: MakeStore, tmp_path: Path, command: Run) -> None:
    run = command("train", "run", make_store().url, "--system", "baseline", WORLD_SIZE="2")
    assert run.returncode == 2
    assert "start a run per GPU" in run.stderr


def test_a_folder_with_something_else_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("dear")
    with pytest.raises(RefusedError, match="is not a run folder"):
        train(config(make_store(), tmp_path / "run"))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["letter.txt"]


def test_no_store(tmp_path: Path, command: Run) -> None:
    run = command("train", "run", tmp_path / "none.zarr", "--system", "baseline")
    assert run.returncode == 2
    assert "there is no store at" in run.stderr


def test_students_are_listed(command: Run) -> None:
    run = command("train", "students")
    assert run.returncode == 0
    assert "sc-cnn: 59049 samples (3.69 s) at 16 kHz, feature 512, 9.09 M parameters" in run.stdout
    assert "hcnn: 80000 samples (5.00 s) at 16 kHz, feature 256, 3.63 M parameters" in run.stdout
