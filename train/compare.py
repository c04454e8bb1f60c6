"""A grid of runs over one store as a plain loop, then its table and its chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from east.common.errors import RefusedError
from east.common.store import Store, array_of, open_store
from east.common.terminal import Quiet, Reporter
from east.train.config import TrainConfig
from east.train.pairing import Measured, group_by_weight
from east.train.scored_clips import SCORES, ScoredClips
from east.train.systems import SYSTEMS, system_named
from east.train.table import Table, table_of
from east.train.table_output import write_table


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
        controls: What embeddings the systems with a distance get: None for their own, or "shuffled".
        weights: Weights w of the distance to try, instead of the one in `settings`.
        select: "valid": choose among the weights by the valid figures; needed where there are several.
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
    controls: tuple[str | None, ...] = (None,)
    weights: tuple[float, ...] = ()
    select: str | None = None
    out: Path = Path("runs")
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.select not in (None, "valid"):
            raise RefusedError(f"--select {self.select!r} is not known: it can be valid")
        if len(self.weights) > 1 and self.select is None:
            raise RefusedError(
                "several --weights leave a choice, which the test clips must not make: add --select valid"
            )


def compare(config: CompareConfig, reporter: Reporter | None = None) -> Table:
    """Carry out all runs that are not finished yet; write the table and the chart.

    Every run leaves out the clips that failed for any of the teachers, so all see the same ones.

    Raises:
        RefusedError: A name, a fold or a setting does not exist; nothing was trained.
    """
    from east.train.charts import chart
    from east.train.run import carry_out

    reporter = reporter or Quiet()
    store = open_store(config.store)
    grid = list(grid_of(config, store))
    if config.select is not None:
        _check_valid(store, grid)
    runs: list[Measured] = []
    for number, run in enumerate(grid, start=1):
        reporter.say(f"[{number}/{len(grid)}] {_named(run)}")
        done = carry_out(run, reporter, root=config.out)
        runs.append(Measured(run, done.results, ScoredClips.load(done.folder / SCORES)))
    if config.select is not None:
        runs = choose_weights(runs, reporter)
    table = table_of(runs, {name: store.teacher_record(name) for name in store.teachers()})
    written = write_table(config.out, table)
    chart(table.rows, config.out / "compare.png")
    reporter.say(f"table and chart: {', '.join(map(str, [*written, config.out / 'compare.png']))}")
    return table


def grid_of(config: CompareConfig, store: Store) -> Iterator[TrainConfig]:
    """All runs; teachers, students, controls and weights do not multiply those of systems without them."""
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
        controls = config.controls if row.distance else (None,)
        weights: Sequence[Mapping[str, float]] = [{"weight": w} for w in config.weights if row.distance]
        for guide, student, control, weight in product(guides, students, controls, weights or [{}]):
            yield TrainConfig(
                store=config.store,
                system=system,
                teacher=guide,
                student=student,
                control=control,
                fold=fold,
                seed=seed,
                label_share=share,
                require=teachers,
                **{**config.settings, **weight},
            )


def choose_weights(runs: Sequence[Measured], reporter: Reporter) -> list[Measured]:
    """Of the runs that differ in w, those with the w whose mean valid figure over folds and seeds is best.

    The choice is made for every system, teacher, control, student and label share by itself; of equal ones
    the first is kept. The test figures of the others are left aside.
    """
    chosen: list[Measured] = []
    for key, group in group_by_weight(runs).items():
        best = max(group, key=lambda weight: group[weight].mean("valid"))
        if len(group) > 1:
            figures = ", ".join(f"{weight:g}: {g.mean('valid'):.3f}" for weight, g in group.items())
            what = " ".join(str(part) for part in key if part is not None)
            reporter.say(f"{what}: w = {best:g} (valid {group[best].metric} {figures})")
        chosen.extend(group[best].runs.values())
    return chosen


def _check_valid(store: Store, grid: Sequence[TrainConfig]) -> None:
    """Refuse to choose on valid where a fold has no valid clips."""
    for protocol, fold in dict.fromkeys((run.protocol, run.fold) for run in grid):
        name = protocol or store.header.protocols[0]
        if name in store.header.protocols:  # an unknown one is refused by the run itself
            row = array_of(store.group, f"splits/{name}")[(fold or 1) - 1]
            if not (np.asarray(row) == "valid").any():
                raise RefusedError(f"--select valid: protocol {name!r} has no valid clips to choose by")


def _all_folds(store: Store, protocol: str | None) -> tuple[int | None, ...]:
    name = protocol or store.header.protocols[0]
    if name not in store.header.protocols:
        return (None,)  # refused by the run itself
    n = array_of(store.group, f"splits/{name}").shape[0]
    return tuple(range(1, n + 1)) if n > 1 else (None,)


def _named(run: TrainConfig) -> str:
    weight = f"w {run.weight:g}" if run.system_row.distance else None
    parts = (run.system, run.teacher, run.control, weight, f"fold {run.fold or '-'}", f"seed {run.seed}")
    return " ".join(part for part in parts if part)
