"""The table of a comparison: a line per system, and the gain from compression by kind of supervision."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from east.common.store import TeacherRecord
from east.train.pairing import Difference, Estimate, Group, Key, Measured, group_runs, mean_difference
from east.train.systems import SYSTEMS

Records = Mapping[str, TeacherRecord]

_RANDOM = "random"  # as the source of weights, in a teacher's record


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
        deviation: Sample deviation over the runs; None for a single one.
        n: Number of runs.
        interval: 95 % interval of the mean over clips.
        control: "shuffled", or "" for none.
        supervision: Of the teacher: "supervised" or "contrastive"; "random" where its weights are random.
        weight: w of the distance; None where the system has none.
        gain: What the system has more than the baseline with the same student, folds, seeds and labels.
        compression: What it has more than the same system without compression.
    """

    system: str
    teacher: str
    student: str
    labelled: float
    metric: str
    mean: float
    deviation: float | None
    n: int
    interval: list[float] | None = None
    control: str = ""
    supervision: str = ""
    weight: float | None = None
    gain: Estimate | None = None
    compression: Estimate | None = None

    @property
    def guide(self) -> str:
        """The teacher with its marks: whether its weights are random, and the control."""
        random = f"{_RANDOM} weights" if self.supervision == _RANDOM else ""
        marks = [mark for mark in (random, self.control) if mark]
        return f"{self.teacher} ({', '.join(marks)})" if marks else self.teacher


@dataclass(frozen=True)
class KindRow:
    """The gain from compression for teachers of one kind: the mean over them.

    Attributes:
        system: With compression.
        supervision: As in `Row`.
        teachers: Their names.
        student: Name.
        labelled: Labelled training clips, the mean over the runs.
        gain: Over the same system without compression.
    """

    system: str
    supervision: str
    teachers: tuple[str, ...]
    student: str
    labelled: float
    gain: Estimate


@dataclass(frozen=True)
class Table:
    """A comparison's figures."""

    rows: list[Row]
    kinds: list[KindRow]


def table_of(runs: Iterable[Measured], records: Records) -> Table:
    """Means over the runs that differ in seed and fold alone, and their paired differences.

    Args:
        runs: Finished runs.
        records: Teacher -> what the store says of it.
    """
    groups = group_runs(runs)
    return Table(
        rows=[_row(group, groups, records) for group in groups.values()],
        kinds=_compression_by_kind(groups, records),
    )


def _row(group: Group, groups: Mapping[Key, Group], records: Records) -> Row:
    key, figures = group.key, group.figures()
    first = next(iter(group.runs.values()))
    baseline = key._replace(system="baseline", teacher=None, control=None)
    gain = _minus(group, groups.get(baseline)) if key.system != "baseline" else None
    compression = _minus(group, groups.get(_without_compression(key)))
    return Row(
        system=key.system,
        teacher=key.teacher or "",
        student=key.student or "",
        labelled=_labelled(group),
        metric=group.metric,
        mean=group.mean(),
        deviation=statistics.stdev(figures) if len(figures) > 1 else None,
        n=len(figures),
        interval=Difference(group.mean(), group.resamples).estimate().interval,
        control=key.control or "",
        supervision=_kind(key.teacher, records),
        weight=first.config.weight if first.config.system_row.distance else None,
        gain=gain.estimate() if gain else None,
        compression=compression.estimate() if compression else None,
    )


def _compression_by_kind(groups: Mapping[Key, Group], records: Records) -> list[KindRow]:
    """The paper's central claim, measured: whether compression helps more with one kind of teacher."""
    kinds: dict[Key, list[tuple[Group, Difference]]] = {}
    for key, group in groups.items():
        gain = _minus(group, groups.get(_without_compression(key))) if key.control is None else None
        if gain is not None:
            kind = key._replace(teacher=_kind(key.teacher, records))
            kinds.setdefault(kind, []).append((group, gain))
    return [
        KindRow(
            system=kind.system,
            supervision=kind.teacher or "",
            teachers=tuple(str(group.key.teacher) for group, _ in members),
            student=kind.student or "",
            labelled=_labelled(members[0][0]),
            gain=mean_difference([gain for _, gain in members]).estimate(),
        )
        for kind, members in kinds.items()
    ]


def _minus(group: Group, other: Group | None) -> Difference | None:
    return group.minus(other) if other is not None and other is not group else None


def _without_compression(key: Key) -> Key:
    """The same with the system that has the same distance and no compression; itself where it has none."""
    distance = SYSTEMS[key.system].distance
    if not SYSTEMS[key.system].compress:
        return key
    plain = next(name for name, row in SYSTEMS.items() if row.distance == distance and not row.compress)
    return key._replace(system=plain)


def _labelled(group: Group) -> float:
    return float(statistics.mean(run.results["labelled"] for run in group.runs.values()))


def _kind(teacher: str | None, records: Records) -> str:
    if teacher is None:
        return ""
    record = records[teacher]
    return _RANDOM if record.weights["source"] == _RANDOM else record.supervision
