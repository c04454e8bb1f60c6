from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from east.common.errors import RefusedError
from east.data.esc50 import Esc50
from east.data.splits import split_for


def test_reads_the_published_layout(tiny_esc50: Path) -> None:
    index = Esc50().index(tiny_esc50)
    assert len(index) == 20
    assert index.classes == ("cow", "saw")  # only what occurs, in the order of the published targets
    assert index.task == "multi-class"
    assert index.max_seconds == 5
    assert index.ids[:2] == ("1-101-A-3", "1-101-B-40")
    assert index.paths[1] == "audio/1-101-B-40.wav"
    assert index.labels[:2].tolist() == [[1, 0], [0, 1]]
    assert index.folds.tolist() == [fold for fold in range(1, 6) for _ in range(4)]


def test_protocols(tiny_esc50: Path) -> None:
    index = Esc50().index(tiny_esc50)
    per_fold = split_for("3-1-1", 5, index)[::4].tolist()
    assert per_fold == ["valid", "train", "train", "train", "test"]  # the fold after the last is the first
    assert split_for("4-1", 2, index)[::4].tolist() == ["train", "test", "train", "train", "train"]


def test_real_recordings(esc10: Path) -> None:
    index = Esc50().index(esc10)
    assert (len(index), len(index.classes)) == (400, 10)
    assert index.labels.sum(axis=0).tolist() == [40] * 10
    assert all((esc10 / path).is_file() for path in index.paths)


def test_hash_depends_on_rows_but_not_on_their_order(tiny_esc50: Path) -> None:
    table = tiny_esc50 / "meta" / "esc50.csv"
    before = Esc50().index(tiny_esc50).sha256
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *reversed(rows)]))
    assert Esc50().index(tiny_esc50).sha256 == before
    table.write_text("\n".join([head, *rows[1:]]))
    assert Esc50().index(tiny_esc50).sha256 != before


def test_first_keeps_all_classes(tiny_esc50: Path) -> None:
    first = Esc50().index(tiny_esc50).first(3)
    assert len(first) == 3
    assert first.labels.shape == (3, 2)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda table: table.unlink(), r"esc50\.csv is missing: ROOT must be ESC-50"),
        (lambda table: table.write_text(""), "no rows or no column"),
        (lambda table: table.write_text("filename,fold,category\na.wav,1,dog\n"), "no column 'target'"),
        (
            lambda table: table.write_text("filename,fold,target,category\na.wav,9,1,dog\n"),
            "line 2: fold must be",
        ),
        (
            lambda table: table.write_text("filename,fold,target,category\n../a.wav,1,1,dog\n"),
            "leaves its root",
        ),
        (
            lambda table: table.write_text("filename,fold,target,category\na.wav,1,1,dog\na.ogg,2,1,dog\n"),
            "the clip id 'a' occurs twice",
        ),
    ],
)
def test_what_is_malformed_is_refused(tiny_esc50: Path, edit: Callable[[Path], object], message: str) -> None:
    edit(tiny_esc50 / "meta" / "esc50.csv")
    with pytest.raises(RefusedError, match=message):
        Esc50().index(tiny_esc50)


def test_labels_are_int8(tiny_esc50: Path) -> None:
    assert Esc50().index(tiny_esc50).labels.dtype == np.int8
