"""Runs that belong together, and what they differ by: paired over folds, seeds and resamples of the clips.

A figure of several runs is the plain mean over folds and seeds. Its interval is a bootstrap over test clips
within each fold: runs that tested the same clips are resampled alike, so what makes a clip hard for
everybody cancels in a difference. The runs themselves are taken as they are: how much another seed changes
is said by the deviation over runs, not by the interval.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from east.train.config import TrainConfig
from east.train.metrics import MAIN_METRIC, Values
from east.train.scored_clips import Interval, ScoredClips, interval_of


@dataclass(frozen=True)
class Measured:
    """A finished run.

    Attributes:
        config: What was asked for.
        results: Its `results.json`.
        clips: Its `scores.npz`.
    """

    config: TrainConfig
    results: dict[str, Any]
    clips: ScoredClips

    @cached_property
    def resamples(self) -> Values:
        """The main test figure of the resamples of its clips, (resample,)."""
        return self.clips.resamples().overall[MAIN_METRIC[self.clips.task]]


class Key(NamedTuple):
    """What the runs of a group have in common: all but fold, seed and the weight of the distance."""

    system: str
    teacher: str | None
    control: str | None
    student: str | None
    label_share: float | None


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval over clips; None where there is none."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Difference:
    """A mean difference of paired runs.

    Attributes:
        value: Of the figures.
        resamples: Of the figures of the resamples, (resample,); None where the two tested different clips.
    """

    value: float
    resamples: Values | None

    def estimate(self) -> Estimate:
        """The difference with its interval."""
        return Estimate(self.value, None if self.resamples is None else interval_of(self.resamples))


class Group:
    """Runs that differ in fold and seed only."""

    def __init__(self, key: Key, runs: Sequence[Measured]) -> None:
        self.key = key
        self.runs = {(run.config.fold, run.config.seed): run for run in runs}
        self.metric = MAIN_METRIC[runs[0].results["task"]]

    def figures(self, split: str = "test") -> list[float]:
        """The main figure of every run that has one."""
        figures = [(run.results[split] or {}).get(self.metric) for run in self.runs.values()]
        return [figure for figure in figures if figure is not None]

    def mean(self, split: str = "test") -> float:
        """Mean of the main figure over the runs; NaN where no run has one."""
        figures = self.figures(split)
        return statistics.mean(figures) if figures else float("nan")

    @cached_property
    def resamples(self) -> Values:
        """Mean over the runs of the figures of their resamples, (resample,)."""
        return _mean([run.resamples for run in self.runs.values()])

    def minus(self, other: Group) -> Difference | None:
        """What this group has more than another one; None where the runs cannot be paired."""
        if self.runs.keys() != other.runs.keys() or len(self.figures()) != len(other.figures()):
            return None
        alike = all(
            np.array_equal(run.clips.clip_id, other.runs[at].clips.clip_id) for at, run in self.runs.items()
        )
        return Difference(self.mean() - other.mean(), self.resamples - other.resamples if alike else None)


def mean_difference(differences: Sequence[Difference]) -> Difference:
    """The mean of several, as over teachers."""
    value = statistics.mean(difference.value for difference in differences)
    resamples = [difference.resamples for difference in differences if difference.resamples is not None]
    return Difference(value, _mean(resamples) if len(resamples) == len(differences) else None)


def group_runs(runs: Iterable[Measured]) -> dict[Key, Group]:
    """The groups, in the order of their first runs."""
    found: dict[Key, list[Measured]] = {}
    for run in runs:
        found.setdefault(_key(run), []).append(run)
    return {key: Group(key, members) for key, members in found.items()}


def group_by_weight(runs: Iterable[Measured]) -> dict[Key, dict[float, Group]]:
    """As `group_runs`, with a group for every weight of the distance."""
    found: dict[Key, dict[float, list[Measured]]] = {}
    for run in runs:
        found.setdefault(_key(run), {}).setdefault(run.config.weight, []).append(run)
    return {
        key: {weight: Group(key, members) for weight, members in by_weight.items()}
        for key, by_weight in found.items()
    }


def _key(run: Measured) -> Key:
    config, student = run.config, run.results["student"]
    return Key(config.system, config.teacher, config.control, student, config.label_share)


def _mean(values: Sequence[Values]) -> Values:
    return np.asarray(np.mean(values, axis=0), dtype=np.float64)
