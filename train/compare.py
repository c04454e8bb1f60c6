"""A grid of runs over one store as a plain loop, then its table and its chart."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from east.common.errors import RefusedError
from east.common.store import Store, open_store
from east.common.terminal import Quiet, Reporter
from east.train.config import TrainConfig
from east.train.metrics import MAIN_METRIC
from east.train.systems import SYSTEMS, system_named

Results = dict[str, Any]


@dataclass(frozen=True)
class CompareConfig:
    """A grid of runs.

    Attributes:
        store: Path or URL of the store.
        systems: Names of systems.
        teachers: Names of teachers; empty: all that the store has.
        students: Names of students.
        seeds: Seeds.
        folds: Test folds; empty: all that the protocol has.
        label_shares: Shares of the labels to keep; None: all.
        out: Folder that holds the runs, the table and the chart.
        settings: Further fields of `TrainConfig`, the same for every run.
    """

    store: str
    systems: tuple[str, ...] = tuple(SYSTEMS)
    teachers: tuple[str, ...] = ()
    students: tuple[str, ...] = ("sc-cnn",)
    seeds: tuple[int, ...] = (0,)
    folds: tuple[int, ...] = ()
    label_shares: tuple[float | None, ...] = (None,)
    out: Path = Path("runs")
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the table: runs that differ in seed and fold only.

    Attributes:
        system: Name.
        teacher: Name, or "" for none.
        student: Name, or "" for none.
        labelled: Labelled training clips, the mean over the runs.
        metric: Name of the figure.
        mean: Of the test figure.
        deviation: Sample deviation, 0 for a single run.
        n: Number of runs.
    """

    system: str
    teacher: str
    student: str
    labelled: float
    metric: str
    mean: float
    deviation: float
    n: int


def compare(config: CompareConfig, reporter: Reporter | None = None) -> list[Row]:
    """Carry out all runs that are not finished yet; write `compare.csv` and `compare.png`.

    Every run leaves out the clips that failed for any of the teachers, so all see the same ones.

    Raises:
        RefusedError: A name, a fold or a setting does not exist; nothing was trained.
    """
    from east.train.charts import chart
    from east.train.run import train

    reporter = reporter or Quiet()
    store = open_store(config.store)
    grid = list(grid_of(config, store))
    results: list[tuple[TrainConfig, Results]] = []
    for number, run in enumerate(grid, start=1):
        what = f"{run.system} {run.teacher or ''} fold {run.fold or '-'} seed {run.seed}"
        reporter.say(f"[{number}/{len(grid)}] {' '.join(what.split())}")
        results.append((run, train(run, reporter, root=config.out)))
    rows = table_of(results)
    config.out.mkdir(parents=True, exist_ok=True)
    write_table(config.out / "compare.csv", rows)
    chart(rows, config.out / "compare.png")
    reporter.say(f"table and chart: {config.out / 'compare.csv'}, {config.out / 'compare.png'}")
    return rows


def grid_of(config: CompareConfig, store: Store) -> Iterator[TrainConfig]:
    """All runs; a system that needs no teacher, or no student, runs once instead of once for each."""
    teachers = config.teachers or tuple(store.teachers())
    for teacher in teachers:
        store.teacher_record(teacher)  # refuses an unknown name before anything is trained
    folds = config.folds or _all_folds(store, config.settings.get("protocol"))
    for share, fold, seed, system in product(config.label_shares, folds, config.seeds, config.systems):
        row = system_named(system)
        if row.needs_teacher and not teachers:
            raise RefusedError(f"system {system!r} needs a teacher and {config.store} has none")
        guides: tuple[str | None, ...] = teachers if row.needs_teacher else (None,)
        students = config.students if row.student else config.students[:1]
        for guide, student in product(guides, students):
            yield TrainConfig(
                store=config.store,
                system=system,
                teacher=guide,
                student=student,
                fold=fold,
                seed=seed,
                label_share=share,
                require=teachers,
                **config.settings,
            )


def _all_folds(store: Store, protocol: str | None) -> tuple[int | None, ...]:
    table = store.columns().splits.get(protocol or store.header.protocols[0])
    n = 1 if table is None else len(table)  # an unknown protocol is refused by the run itself
    return tuple(range(1, n + 1)) if n > 1 else (None,)


def table_of(results: Sequence[tuple[TrainConfig, Results]]) -> list[Row]:
    """Mean and deviation of the main test figure over the runs that differ in seed and fold alone."""
    groups: dict[tuple[str, str | None, str | None, float | None], list[Results]] = {}
    for run, result in results:
        key = (run.system, run.teacher, result["student"], run.label_share)
        groups.setdefault(key, []).append(result)
    return [_row(group) for group in groups.values()]


def _row(group: Sequence[Results]) -> Row:
    first = group[0]
    metric = MAIN_METRIC[first["task"]]
    values = [result["test"][metric] for result in group if result["test"][metric] is not None]
    return Row(
        system=first["system"],
        teacher=first["teacher"] or "",
        student=first["student"] or "",
        labelled=statistics.mean(result["labelled"] for result in group),
        metric=metric,
        mean=statistics.mean(values) if values else float("nan"),
        deviation=statistics.stdev(values) if len(values) > 1 else 0.0,
        n=len(values),
    )


def lines_of(rows: Sequence[Row]) -> Iterator[str]:
    """The table for a terminal."""
    yield f"{'system':<20}{'teacher':<10}{'student':<9}{'labelled':>9}  test {rows[0].metric}"
    for row in rows:
        spread = f" +- {row.deviation:.3f} (n = {row.n})" if row.n > 1 else ""
        yield f"{row.system:<20}{row.teacher:<10}{row.student:<9}{row.labelled:>9.0f}  {row.mean:.3f}{spread}"


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, fieldnames=list(Row.__dataclass_fields__), lineterminator="\n")
        table.writeheader()
        table.writerows(vars(row) for row in rows)
