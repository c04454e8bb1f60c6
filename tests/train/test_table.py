"""Means, intervals and paired differences of a comparison."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from east.common.store import TeacherRecord
from east.train.config import TrainConfig
from east.train.pairing import Measured
from east.train.scored_clips import ScoredClips
from east.train.table import table_of
from east.train.table_output import lines_of, write_table

MakeRecord = Callable[..., TeacherRecord]


def measured(
    system: str,
    right: npt.ArrayLike,
    teacher: str = "t",
    share: float | None = None,
    seed: int = 0,
    fold: int | None = None,
    clips: str = "",
    labelled: int = 100,
    control: str | None = None,
) -> Measured:
    """A run that answered these clips right (1) or wrong (0)."""
    needs_no_teacher = system == "baseline"
    config = TrainConfig(
        "s",
        system,
        None if needs_no_teacher else teacher,
        label_share=share,
        seed=seed,
        fold=fold,
        control=control,
    )
    answers = np.stack([right, 1 - np.asarray(right)], axis=1).astype(np.float32)
    labels = np.tile(np.array([1, 0], np.int8), (len(answers), 1))
    ids = np.array([f"{clips}{fold}-{i}" for i in range(len(answers))])
    results = {
        "task": "multi-class",
        "student": None if system == "teacher-lr" else "sc-cnn",
        "labelled": labelled,
        "test": {"accuracy": float(np.asarray(right).mean())},
    }
    return Measured(config, results, ScoredClips(ids, answers, labels, ["a", "b"], "multi-class"))


def test_mean_and_deviation(make_record: MakeRecord) -> None:
    table = table_of(
        [
            measured("baseline", [1, 1, 0, 0], labelled=100),
            measured("baseline", [1, 1, 1, 0], labelled=102, seed=1),
            measured("baseline", [1, 0, 0, 0], share=0.25, labelled=25),
            measured("east-dc", [1, 1, 1, 1]),
        ],
        {"t": make_record()},
    )
    rows = table.rows
    assert [(row.system, row.labelled, row.n) for row in rows] == [
        ("baseline", 101, 2),
        ("baseline", 25, 1),
        ("east-dc", 100, 1),
    ]
    assert rows[0].mean == pytest.approx(0.625)
    assert rows[0].deviation == pytest.approx(0.25 / np.sqrt(2))  # sample deviation
    assert rows[1].deviation is None
    assert rows[0].gain is None
    assert rows[2].gain is None  # the baseline ran with another seed, too: no pairs
    line = list(lines_of(table))[1].split()
    assert line[:9] == ["baseline", "sc-cnn", "101", "0.625", "+-", "0.177", "(n", "=", "2)"]


def test_what_two_systems_have_in_common_cancels_in_their_difference(make_record: MakeRecord) -> None:
    random = np.random.default_rng(0)
    hard = random.random(400) < 0.5
    better = hard & (random.random(400) < 0.1)  # right on a tenth of what the other gets wrong
    runs = [measured("baseline", (~hard).astype(int)), measured("east-dc", (~hard | better).astype(int))]
    baseline, row = table_of(runs, {"t": make_record()}).rows
    assert row.gain is not None
    assert row.gain.value == pytest.approx(better.mean())
    assert row.gain.interval is not None
    assert baseline.interval is not None
    spread = 1.96 * better.std() / 20  # the normal approximation, of the differences alone
    assert row.gain.interval == pytest.approx([better.mean() - spread, better.mean() + spread], abs=0.006)
    own = 1.96 * hard.std() / 20
    assert baseline.interval == pytest.approx([(~hard).mean() - own, (~hard).mean() + own], abs=0.01)


def test_folds_are_pooled(make_record: MakeRecord) -> None:
    """The mean over folds of n clips is as certain as one test of all their clips."""
    random = np.random.default_rng(1)
    folds = [(random.random((2, 100)) < [[0.5], [0.7]]).astype(int) for _ in range(4)]
    runs = [
        measured(system, right, fold=fold)
        for fold, both in enumerate(folds, start=1)
        for system, right in zip(("baseline", "east-dc"), both, strict=True)
    ]
    gain = table_of(runs, {"t": make_record()}).rows[1].gain
    difference = np.concatenate([b - a for a, b in folds])
    assert gain is not None
    assert gain.value == pytest.approx(difference.mean())
    assert gain.interval is not None
    spread = 1.96 * difference.std() / 20
    assert gain.interval[1] - gain.interval[0] == pytest.approx(2 * spread, rel=0.1)


def test_no_interval_of_a_difference_where_the_clips_differ(make_record: MakeRecord) -> None:
    runs = [measured("baseline", [1, 0]), measured("east-dc", [1, 1], clips="other")]
    gain = table_of(runs, {"t": make_record()}).rows[1].gain
    assert gain is not None
    assert (gain.value, gain.interval) == (0.5, None)


def test_gain_from_compression_by_kind_of_supervision(make_record: MakeRecord, tmp_path: Path) -> None:
    records = {
        "s1": make_record(name="s1"),
        "s2": make_record(name="s2"),
        "c": make_record(name="c", supervision="contrastive"),
        "r": make_record(name="r", weights={"source": "random", "sha256": "random-seed-0"}),
    }
    accuracy = {  # without and with compression, of 10 clips
        "s1": (5, 6),
        "s2": (5, 4),
        "c": (4, 9),
        "r": (3, 3),
    }
    runs = [measured("baseline", [1] * 5 + [0] * 5)]
    for teacher, hits in accuracy.items():
        for system, n in zip(("east-dc", "east-dc+linear"), hits, strict=True):
            runs.append(measured(system, [1] * n + [0] * (10 - n), teacher))
    runs.append(measured("east-dc", [0] * 10, "c", control="shuffled"))
    runs.append(measured("east-dc+linear", [1] * 10, "c", control="shuffled"))
    table = table_of(runs, records)
    kinds = {kind.supervision: (kind.teachers, round(kind.gain.value, 6)) for kind in table.kinds}
    assert kinds == {
        "supervised": (("s1", "s2"), 0.0),
        "contrastive": (("c",), 0.5),  # the control is no part of it
        "random": (("r",), 0.0),
    }
    by_name = {(row.guide, row.system): row for row in table.rows}
    compression = by_name["c", "east-dc+linear"].compression
    assert compression is not None
    assert compression.value == pytest.approx(0.5)
    assert by_name["c", "east-dc"].compression is None
    assert ("r (random weights)", "east-dc") in by_name
    assert ("c (shuffled)", "east-dc") in by_name

    written = write_table(tmp_path, table)
    assert [path.name for path in written] == ["compare.csv", "compression.csv"]
    with written[0].open() as file:
        rows = {(r["teacher"], r["control"], r["system"]): r for r in csv.DictReader(file)}
    row = rows["c", "", "east-dc+linear"]
    assert row["supervision"] == "contrastive"
    assert float(row["gain"]) == pytest.approx(0.4)
    assert float(row["gain_low"]) <= 0.4 <= float(row["gain_high"])
    assert float(row["compression"]) == pytest.approx(0.5)
    assert rows["r", "", "east-dc"]["supervision"] == "random"
    with written[1].open() as file:
        kind_rows = list(csv.DictReader(file))
    assert [(r["supervision"], r["teachers"]) for r in kind_rows] == [
        ("supervised", "s1+s2"),
        ("contrastive", "c"),
        ("random", "r"),
    ]
    text = "\n".join(lines_of(table))
    assert "gain from compression, by the supervision of the teacher:" in text
    assert "supervised (s1, s2)" in text
