import csv
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from east.common.errors import RefusedError
from east.common.store import Store, open_store
from east.common.terminal import Quiet
from east.train.compare import CompareConfig, choose_weights, compare, grid_of
from east.train.config import TrainConfig
from east.train.pairing import Measured
from east.train.scored_clips import ScoredClips

MakeStore = Callable[..., Store]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_grid(make_store: MakeStore) -> None:
    store = make_store()
    config = CompareConfig(store.url, seeds=(0, 1), label_shares=(0.5, None))
    grid = list(grid_of(config, store))
    assert len(grid) == 6 * 2 * 2
    assert {run.teacher for run in grid if run.system == "baseline"} == {None}
    assert {run.teacher for run in grid if run.system == "teacher-lr"} == {"t"}
    assert all(run.require == ("t",) for run in grid)  # the baseline sees the same clips


def test_folds_are_all_of_the_protocol_unless_named(make_store: MakeStore) -> None:
    table = np.array([["test"] * 8 + ["train"] * 40, ["train"] * 40 + ["test"] * 8])
    store = make_store(splits={"1-1": table})
    every = CompareConfig(store.url, systems=("baseline",), settings={"epochs": 1})
    assert [run.fold for run in grid_of(every, store)] == [1, 2]
    one = CompareConfig(store.url, systems=("baseline",), folds=(2,), settings={"epochs": 1})
    assert [run.fold for run in grid_of(one, store)] == [2]


def test_controls_and_weights_are_for_systems_with_a_distance(make_store: MakeStore) -> None:
    store = make_store()
    systems = ("teacher-lr", "baseline", "east-dc")
    config = CompareConfig(
        store.url,
        systems,
        controls=(None, "shuffled"),
        weights=(0.1, 0.9),
        select="valid",
        settings={"weight": 0.3},
    )
    grid = [(run.system, run.control, run.weight) for run in grid_of(config, store)]
    assert grid == [
        ("teacher-lr", None, 0.3),
        ("baseline", None, 0.3),
        *(("east-dc", control, weight) for control in (None, "shuffled") for weight in (0.1, 0.9)),
    ]


NO_CLIPS = ScoredClips(
    np.empty(0, np.str_), np.empty((0, 1), np.float32), np.empty((0, 1), np.int8), ["a"], "multi-class"
)


class Lines(Quiet):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_w_is_chosen_on_valid_by_the_mean_over_seeds_and_folds() -> None:
    def run(system: str, weight: float, seed: int, valid: float, test: float) -> Measured:
        config = TrainConfig("s", system, None if system == "baseline" else "t", weight=weight, seed=seed)
        split = {"valid": {"accuracy": valid}, "test": {"accuracy": test}}
        results = {"student": "sc-cnn", "task": "multi-class", "labelled": 9, **split}
        return Measured(config, results, NO_CLIPS)

    runs = [
        run("baseline", 0.5, 0, 0.2, 0.3),
        run("east-dc", 0.1, 0, 0.9, 0.1),
        run("east-dc", 0.5, 0, 0.6, 0.2),
        run("east-dc", 0.9, 0, 0.1, 0.9),  # the best on test
        run("east-dc", 0.1, 1, 0.1, 0.1),
        run("east-dc", 0.5, 1, 0.6, 0.4),  # the best on valid, as a mean
        run("east-dc", 0.9, 1, 0.1, 0.9),
    ]
    said = Lines()
    chosen = choose_weights(runs, said)
    assert chosen == [runs[0], runs[2], runs[5]]
    assert said.lines == ["east-dc t sc-cnn: w = 0.5 (valid accuracy 0.1: 0.500, 0.5: 0.600, 0.9: 0.100)"]


def test_weights_from_the_grid_to_the_table(make_store: MakeStore, tmp_path: Path, command: Run) -> None:
    store, out = make_store(), tmp_path / "runs"
    arguments = ["train", "compare", store.url, "--systems", "baseline,east-fitnet", "--channels", "2"]
    arguments += ["--epochs", "1", "--weights", "0.1,0.9", "--out", str(out)]
    refused = command(*arguments)
    assert refused.returncode == 2
    assert "add --select valid" in refused.stderr
    assert not out.exists()
    run = command(*arguments, "--select", "valid", "--control", "shuffled")
    assert run.returncode == 0, run.stderr
    with (out / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], row["control"]) for row in rows] == [
        ("baseline", ""),
        ("east-fitnet", ""),
        ("east-fitnet", "shuffled"),
    ]
    assert rows[0]["weight"] == ""
    assert {row["weight"] for row in rows[1:]} <= {"0.1", "0.9"}
    assert len(list(out.glob("*/results.json"))) == 5
    assert "t (shuffled)" in run.stdout


def test_a_protocol_without_valid_clips_leaves_nothing_to_choose_by(make_store: MakeStore) -> None:
    table = np.array([["test"] * 8 + ["train"] * 40, ["train"] * 40 + ["test"] * 8])
    store = make_store(splits={"1-1": table})
    config = CompareConfig(store.url, weights=(0.1, 0.9), select="valid", settings={"epochs": 1})
    with pytest.raises(RefusedError, match="protocol '1-1' has no valid clips to choose by"):
        compare(config)


def test_runs_once_and_again_only_what_is_missing(
    make_store: MakeStore, tmp_path: Path, command: Run
) -> None:
    store, out = make_store(), tmp_path / "runs"
    arguments = ["train", "compare", store.url, "--systems", "teacher-lr,baseline", "--systems", "east-dc"]
    arguments += ["--channels", "2", "--epochs", "1", "--out", str(out)]
    first = command(*arguments)
    assert first.returncode == 0, first.stderr
    with (out / "compare.csv").open() as file:
        assert [row["system"] for row in csv.DictReader(file)] == ["teacher-lr", "baseline", "east-dc"]
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")
    runs = {path: path.stat().st_mtime_ns for path in out.glob("*/results.json")}
    assert len(runs) == 3
    again = command(*arguments, "--seeds", "0,1")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("finished before") == 3
    assert len(list(out.glob("*/results.json"))) == 6
    assert {path: path.stat().st_mtime_ns for path in runs} == runs


def test_clips_that_failed_for_any_teacher_are_left_out_for_all(
    make_store: MakeStore, make_record: Callable[..., Any], tmp_path: Path
) -> None:
    from east.common.blocks import State, commit, plan

    store = make_store()
    store.create_teacher(make_record(name="other"), 2, 6)
    for block in plan(48, 8):
        state = np.full(8, State.DONE, np.uint8)
        state[0] = State.FAILED
        n_frames = np.full(8, 2, np.int32)
        means: dict[str, npt.NDArray[Any]] = {
            "mean": np.ones((8, 6), np.float32),
            "n_frames": n_frames,
            "state": state,
        }
        commit(open_store(store.url, "r+").teacher_group("other"), block, means)
    alone = CompareConfig(store.url, ("teacher-lr",), teachers=("t",), out=tmp_path / "a")
    assert compare(alone).rows[0].labelled == 32
    both = CompareConfig(store.url, ("teacher-lr",), teachers=("t", "other"), out=tmp_path / "b")
    assert {row.labelled for row in compare(both).rows} == {28}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"systems": ("east",)}, "unknown system 'east'"),
        ({"teachers": ("passt",)}, "no embeddings of teacher 'passt'"),
        ({"settings": {"lr": 0.0}}, "--lr 0 must be above 0"),
    ],
)
def test_bad_names_are_refused_before_anything_is_trained(
    make_store: MakeStore, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        compare(CompareConfig(make_store().url, out=tmp_path / "runs", **changes))
    assert not (tmp_path / "runs").exists()


def test_numbers_that_are_none_are_refused(make_store: MakeStore, tmp_path: Path, command: Run) -> None:
    run = command("train", "compare", make_store().url, "--seeds", "one", "--out", tmp_path / "runs")
    assert run.returncode == 2
    assert "--seeds one: invalid literal" in run.stderr
    preset = command("train", "compare", make_store("b.zarr").url, "--preset", "fast")
    assert preset.returncode == 2
    assert "unknown preset 'fast': choose from few-labels" in preset.stderr
