"""Charts of a comparison: bars like the paper's Figure 3, or a curve over the number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from east.train.systems import SYSTEMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from east.train.compare import Row

# Okabe and Ito's palette, told apart by people with any colour vision; one colour per distance.
_COLOURS = {"fitnet": "#0072B2", "dc": "#D55E00", None: "black"}
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
    groups = list(dict.fromkeys((row.teacher, row.student) for row in rows if _distance(row)))
    systems = [name for name, system in SYSTEMS.items() if system.distance]
    width = 0.8 / len(systems)
    for place, system in enumerate(systems):
        bars = [row for row in rows if row.system == system]
        axes.bar(
            [groups.index((row.teacher, row.student)) + (place - 1.5) * width for row in bars],
            [row.mean for row in bars],
            0.9 * width,
            yerr=[row.deviation for row in bars],
            capsize=3,
            color=_COLOURS[SYSTEMS[system].distance],
            alpha=0.6 if SYSTEMS[system].compress else 1.0,
            hatch="///" if SYSTEMS[system].compress else None,
            edgecolor="white",
            label=system,
        )
    for row in rows:
        if not _distance(row):
            _level(axes, row)
    axes.set_xticks(range(len(groups)), [" / ".join(group) for group in groups])
    axes.set_ylim(bottom=max(0.0, min(row.mean for row in rows) - 0.1))
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def _level(axes: Axes, row: Row) -> None:
    who = " ".join(part for part in (row.system, row.teacher or row.student) if part)
    style = "--" if SYSTEMS[row.system].student else ":"
    axes.axhline(row.mean, color="black", linestyle=style, linewidth=1.2, label=who)


def _curves(axes: Axes, rows: Sequence[Row]) -> None:
    """Test figure against the number of labelled clips, a line per system."""
    for system, teacher, student in dict.fromkeys((row.system, row.teacher, row.student) for row in rows):
        line = [row for row in rows if (row.system, row.teacher, row.student) == (system, teacher, student)]
        line.sort(key=lambda row: row.labelled)
        row = SYSTEMS[system]
        axes.errorbar(
            [point.labelled for point in line],
            [point.mean for point in line],
            [point.deviation for point in line],
            color=_COLOURS[row.distance],
            linestyle=":" if not row.student else "--" if row.distance is None or row.compress else "-",
            marker="o" if row.student else None,
            capsize=3,
            label=system if not row.needs_teacher else f"{system}, {teacher}",
        )
    axes.set_xlabel("labelled training clips")
    axes.set_xscale("log")
    counts = sorted({round(row.labelled) for row in rows})
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)


def _distance(row: Row) -> str | None:
    return SYSTEMS[row.system].distance
