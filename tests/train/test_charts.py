from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from east.train.charts import _bars, _curves, chart
from east.train.table import Row

SYSTEMS = ("teacher-lr", "baseline", "east-fitnet", "east-fitnet+linear", "east-dc", "east-dc+linear")


def row(system: str, n: int = 3, labelled: float = 100, student: str = "sc-cnn", **changes: object) -> Row:
    teacher = "" if system == "baseline" else "t"
    student = "" if system == "teacher-lr" else student
    deviation = 0.01 if n > 1 else None
    return Row(system, teacher, student, labelled, "map", 0.5, deviation, n, **changes)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [1, 3])
def test_charts_of_both_kinds(tmp_path: Path, n: int) -> None:
    bars = [row(system, n) for system in SYSTEMS]
    curves = [*bars, *(row(system, n, labelled=25) for system in SYSTEMS)]
    for name, table in (("bars", bars), ("curves", curves)):
        chart(table, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("n", "drawn"), [(1, False), (3, True)])
def test_a_single_run_has_no_error_bar(n: int, drawn: bool) -> None:
    axes = Figure().add_subplot()
    _bars(axes, [row("east-dc", n)])
    assert _has_visible_error_bar(axes) == drawn
    axes = Figure().add_subplot()
    _curves(axes, [row("east-dc", n), row("east-dc", n, labelled=25)])
    assert _has_visible_error_bar(axes) == drawn


def _has_visible_error_bar(axes: Axes) -> bool:
    found = [c for c in axes.containers if isinstance(c, ErrorbarContainer)]
    caps = [y for c in found for cap in c.lines[1] for y in np.asarray(cap.get_ydata(), dtype=float)]
    return bool(np.isfinite(caps).any())


def test_marks_and_levels_of_several_students() -> None:
    axes = Figure().add_subplot()
    _bars(
        axes,
        [
            row("teacher-lr"),
            *(row(system, student=student) for system in ("baseline", "east-dc") for student in ("a", "b")),
            row("east-dc", student="a", control="shuffled"),
            row("east-dc", student="a", supervision="random"),
        ],
    )
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["t\na", "t\nb", "t\n(shuffled)\na", "t\n(random weights)\na"]
    lines = [c for c in axes.collections if isinstance(c, LineCollection)]
    spans = [(c.get_label(), sorted({round(x, 1) for s in c.get_segments() for x, _ in s})) for c in lines]
    # Each line stands beside the bars that it is to be compared with, and beside no others.
    assert [span for name, span in spans if name == "teacher-lr"] == [[-0.5, 0.5, 1.5]]
    assert [span for name, span in spans if name == "baseline"] == [[-0.5, 0.5, 1.5, 2.5, 3.5], [0.5, 1.5]]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()].count("baseline") == 1
