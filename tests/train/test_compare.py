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
from east.train.charts import chart
from east.train.compare import CompareConfig, Row, compare, grid_of, lines_of, table_of
from east.train.config import TrainConfig

MakeStore = Callable[..., Store]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL = {"channels": 2, "epochs": 1, "lr": 1e-3}


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


def test_table(make_store: MakeStore) -> None:
    def result(
        system: str, share: float | None, accuracy: float, labelled: int
    ) -> tuple[TrainConfig, dict[str, Any]]:
        teacher = None if system == "baseline" else "t"
        run = TrainConfig("s", system, teacher, label_share=share)
        measured = {"system": system, "teacher": teacher, "student": "sc-cnn", "task": "multi-class"}
        return run, {**measured, "labelled": labelled, "test": {"accuracy": accuracy}}

    rows = table_of(
        [
            result("baseline", None, 0.5, 100),
            result("baseline", None, 0.7, 102),
            result("baseline", 0.25, 0.3, 25),
            result("east-dc", None, 0.8, 100),
        ]
    )
    assert [(row.system, row.labelled, row.n) for row in rows] == [
        ("baseline", 101, 2),
        ("baseline", 25, 1),
        ("east-dc", 100, 1),
    ]
    assert rows[0].mean == pytest.approx(0.6)
    assert rows[0].deviation == pytest.approx(0.2 / np.sqrt(2))  # sample deviation
    assert list(lines_of(rows))[1].split() == [
        "baseline",
        "sc-cnn",
        "101",
        "0.600",
        "+-",
        "0.141",
        "(n",
        "=",
        "2)",
    ]


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
    assert compare(alone)[0].labelled == 32
    both = CompareConfig(store.url, ("teacher-lr",), teachers=("t", "other"), out=tmp_path / "b")
    assert {row.labelled for row in compare(both)} == {28}


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


def test_charts_of_both_kinds(tmp_path: Path) -> None:
    systems = ("teacher-lr", "baseline", "east-fitnet", "east-fitnet+linear", "east-dc", "east-dc+linear")

    def rows(labelled: float) -> list[Row]:
        return [
            Row(s, "" if s == "baseline" else "t", "sc-cnn", labelled, "map", 0.5, 0.01, 3) for s in systems
        ]

    for name, table in (("bars", rows(100)), ("curves", [*rows(25), *rows(100)])):
        chart(table, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
