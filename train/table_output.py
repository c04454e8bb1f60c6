"""Figures on a terminal and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from east.train.pairing import Estimate
from east.train.table import KindRow, Row, Table


def lines_of(table: Table) -> Iterator[str]:
    """The table for a terminal."""
    rows = table.rows
    names = [row.guide for row in rows]
    wide = max(len("teacher"), *map(len, names)) + 2
    head = f"{'system':<20}{'teacher':<{wide}}{'student':<9}{'labelled':>8}{'w':>6}"
    yield f"{head}  {f'test {rows[0].metric}':<42}minus baseline"
    for row, name in zip(rows, names, strict=True):
        weight = "" if row.weight is None else f"{row.weight:g}"
        spread = f" +- {row.deviation:.3f} (n = {row.n})" if row.deviation is not None else ""
        figure = f"{row.mean:.3f}{spread}{_bounds(row.interval, '.3f')}"
        line = f"{row.system:<20}{name:<{wide}}{row.student:<9}{row.labelled:>8.0f}{weight:>6}"
        yield f"{line}  {figure:<42}{_signed(row.gain)}".rstrip()
    if table.kinds:
        yield "gain from compression, by the supervision of the teacher:"
    for kind in table.kinds:
        teachers = f"{kind.supervision} ({', '.join(kind.teachers)})"
        yield f"  {kind.system:<20}{teachers:<30}{kind.student:<9}{kind.labelled:>8.0f}  {_signed(kind.gain)}"
    yield "[ ]: 95 % interval over test clips for these runs; differences are paired, clip by clip."


def _signed(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:+.3f}{_bounds(estimate.interval, '+.3f')}"


def _bounds(interval: Sequence[float] | None, form: str) -> str:
    return "" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]"


def evaluation_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """What `evaluate` found, for a terminal: per class, then averaged."""
    metric = {"multi-class": "accuracy", "multi-label": "average precision"}[document["task"]]
    what = f"{document['system']}, {document['trained_on']} -> {document['dataset']}"
    yield f"{what}, {document['clips']} test clips: {metric} per class, then averaged"
    for part in ("per_class", "test"):
        for name, value in document[part].items():
            known = "-" if value is None else f"{value:.3f}"
            yield f"  {name:<20}{known}{_bounds(document[f'{part}_interval'][name], '.3f')}"


def write_table(folder: Path, table: Table) -> list[Path]:
    """Write `compare.csv`, and `compression.csv` where there is anything to say about it."""
    written = [_write_csv(folder / "compare.csv", [_flat(row) for row in table.rows])]
    if table.kinds:
        written.append(_write_csv(folder / "compression.csv", [_flat(kind) for kind in table.kinds]))
    return written


def _flat(row: Row | KindRow) -> dict[str, object]:
    """One column per value: an estimate becomes three, with `_low` and `_high`."""
    columns: dict[str, object] = {}
    for name, value in vars(row).items():
        if name in ("gain", "compression"):
            columns |= {
                name: value.value if value else None,
                **_ends(name, value.interval if value else None),
            }
        elif name == "interval":
            columns |= _ends("mean", value)
        else:
            columns[name] = "+".join(value) if isinstance(value, tuple) else value
    return columns


def _ends(name: str, interval: Sequence[float] | None) -> dict[str, object]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path
