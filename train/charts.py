"""Charts of a comparison: bars like the paper's Figure 3, or a curve over the number of labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from east.train.systems import SYSTEMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from east.train.table import Row

# Okabe and Ito's palette, told apart by people with any colour vision; one colour per distance.
_COLOURS = {"fitnet": "#0072B2", "dc": "#D55E00", None: "black"}
_MARKERS = "osD^vPX"  # one per teacher and student
_SIZE = (8.0, 4.5)  # inches


def chart(rows: Sequence[Row], path: Path) -> None:
    """Draw the rows into a PNG: a curve where they differ in the number of labels, else bars."""
    # Deferred: matplotlib is slow to import. Its figure is used directly, without any display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=160, layout="constrained")
    axes = figure.add_subplot()
    if len({round(row.labelled) for row in rows}) > 1:
        _curves(axes, rows)
    else:
        _bars(axes, rows)
    axes.set_ylabel({"map": "test mean average precision", "accuracy": "test accuracy"}[rows[0].metric])
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(_title(rows), fontsize=9)
    figure.savefig(path)


def _title(rows: Sequence[Row]) -> str:
    runs = sorted({row.n for row in rows})
    spread = f"mean and deviation of {'-'.join(map(str, runs))} runs" if runs[-1] > 1 else "one run each"
    counts = {round(row.labelled) for row in rows}
    return spread if len(counts) > 1 else f"{counts.pop()} labelled training clips, {spread}"


def _bars(axes: Axes, rows: Sequence[Row]) -> None:
    """A group of bars per teacher and student; compression hatched, the baseline as a line."""
    groups = list(dict.fromkeys((row.guide, row.student) for row in rows if _distance(row)))
    systems = [name for name, system in SYSTEMS.items() if system.distance]
    width = 0.8 / len(systems)
    for place, system in enumerate(systems):
        bars = [row for row in rows if row.system == system]
        axes.bar(
            [groups.index((row.guide, row.student)) + (place - 1.5) * width for row in bars],
            [row.mean for row in bars],
            0.9 * width,
            yerr=[_spread(row) for row in bars],
            capsize=3,
            color=_COLOURS[SYSTEMS[system].distance],
            alpha=0.6 if SYSTEMS[system].compress else 1.0,
            hatch="///" if SYSTEMS[system].compress else None,
            edgecolor="white",
            label=system,
        )
    for row in rows:
        if not _distance(row):
            _level(axes, row, groups)
    names = ["\n".join([guide.replace(" (", "\n("), student]) for guide, student in groups]
    axes.set_xticks(range(len(groups)), names)
    axes.set_ylim(bottom=max(0.0, min(row.mean for row in rows) - 0.1))
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))  # a level has a line for every teacher or student
    axes.legend(
        list(once.values()), list(once), frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5)
    )


def _level(axes: Axes, row: Row, groups: Sequence[tuple[str, str]]) -> None:
    """A line across the groups of bars that it is to be read beside: of its student, or of its teacher."""
    is_student = SYSTEMS[row.system].student
    beside = [g for g, group in enumerate(groups) if (row.student if is_student else row.guide) in group]
    starts, ends = [g - 0.5 for g in beside or [0]], [g + 0.5 for g in beside or [0]]
    style = "--" if is_student else ":"
    heights = [row.mean] * len(starts)
    axes.hlines(heights, starts, ends, color="black", linestyle=style, linewidth=1.2, label=row.system)


def _curves(axes: Axes, rows: Sequence[Row]) -> None:
    """Test figure against the number of labelled clips, a line per system."""
    beside = list(dict.fromkeys((row.guide, row.student) for row in rows))
    several = len({row.student for row in rows if SYSTEMS[row.system].student}) > 1
    for system, guide, student in dict.fromkeys((row.system, row.guide, row.student) for row in rows):
        line = [row for row in rows if (row.system, row.guide, row.student) == (system, guide, student)]
        line.sort(key=lambda row: row.labelled)
        row = SYSTEMS[system]
        axes.errorbar(
            [point.labelled for point in line],
            [point.mean for point in line],
            [_spread(point) for point in line],
            color=_COLOURS[row.distance],
            linestyle=":" if not row.student else "--" if row.distance is None or row.compress else "-",
            marker=_MARKERS[beside.index((guide, student)) % len(_MARKERS)] if row.student else None,
            capsize=3,
            label=", ".join(part for part in (system, guide, student if several else "") if part),
        )
    axes.set_xlabel("labelled training clips")
    axes.set_xscale("log")
    counts = sorted({round(row.labelled) for row in rows})
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)


def _spread(row: Row) -> float:
    """Half the length of an error bar; NaN, and nothing is drawn, for a single run."""
    return math.nan if row.deviation is None else row.deviation


def _distance(row: Row) -> str | None:
    return SYSTEMS[row.system].distance
