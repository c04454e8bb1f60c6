from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from east.common.errors import RefusedError
from east.data.magnatagatune import MagnaTagATune
from east.data.splits import split_for


class Tiny(MagnaTagATune):
    """With the counts of the miniature, worked out by hand.

    Without the empty clips 6, 8 and 9, 17 of the 20 training clips are usable. A tag of the 50 have all even
    clips and 1, 9, 17, 25: of the usable training clips 0, 2, 4, 10, 12, 14, 16, 18 and 1, 17, of valid 20,
    22, 24, of test 26, 28, 30 and 25.
    """

    rows: ClassVar[dict[str, int]] = {"clips": 32, "tags": 188}
    published: ClassVar[dict[str, dict[str, int]]] = {
        "full": {"train": 17, "valid": 5, "test": 7},
        "clean": {"train": 10, "valid": 3, "test": 4},
    }


def counts(protocol: str, root: Path) -> dict[str, int]:
    split = split_for(protocol, 1, MagnaTagATune().index(root)).tolist()
    return {name: split.count(name) for name in ("train", "valid", "test", "")}


def test_reads_the_published_layout(tiny_magnatagatune: Path) -> None:
    index = MagnaTagATune().index(tiny_magnatagatune)
    assert (len(index), index.task, index.max_seconds) == (32, "multi-label", 29.2)
    assert index.ids[:2] == ("100", "101")
    assert index.paths[:2] == ("0/artist-album-00-title-0-29.mp3", "1/artist-album-01-title-0-29.mp3")
    assert (index.folds == -1).all()


def test_the_50_most_frequent_tags_by_falling_frequency(tiny_magnatagatune: Path) -> None:
    index = MagnaTagATune().index(tiny_magnatagatune)
    # 60 rare tags have one clip each: the first 47 in the file fill the list up.
    assert index.classes == ("guitar", "piano", "techno", *(f"rare {n:02d}" for n in range(47)))
    assert index.labels.sum(axis=0).tolist() == [16, 8, 4, *[1] * 47]
    assert index.labels[4, :4].tolist() == [1, 1, 0, 0]
    assert index.labels[9, :4].tolist() == [0, 0, 1, 0]
    assert not index.labels[3].any()  # its tags are not among the 50


def test_classes_do_not_depend_on_the_order_of_columns_and_rows(tiny_magnatagatune: Path) -> None:
    table = tiny_magnatagatune / "annotations_final.csv"
    before = MagnaTagATune().index(tiny_magnatagatune)
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    moved = [[*row[150:], *row[:150]] for row in [rows[0], *reversed(rows[1:])]]
    table.write_text("\n".join("\t".join(row) for row in moved) + "\n")
    assert MagnaTagATune().index(tiny_magnatagatune).sha256 == before.sha256


def test_split_by_the_first_character_of_the_path(tiny_magnatagatune: Path) -> None:
    assert counts("full", tiny_magnatagatune) == {"train": 20, "valid": 5, "test": 7, "": 0}
    index = MagnaTagATune().index(tiny_magnatagatune)
    split = split_for("full", 1, index)
    assert {path[0] for path, s in zip(index.paths, split, strict=True) if s == "train"} == set(
        "0123456789ab"
    )
    assert {path[0] for path, s in zip(index.paths, split, strict=True) if s == "test"} == set("def")


def test_clean_leaves_out_clips_without_a_tag(tiny_magnatagatune: Path) -> None:
    assert counts("clean", tiny_magnatagatune) == {"train": 13, "valid": 3, "test": 4, "": 12}


def test_counts_that_deviate_are_remarked(tiny_magnatagatune: Path) -> None:
    usable = "29 of 32 clips are usable: 3 mp3s are empty"
    assert Tiny().index(tiny_magnatagatune).remarks == (usable,)
    assert MagnaTagATune().index(tiny_magnatagatune).remarks == (
        "annotations_final.csv: 32 clips, 188 tags, but published are 25,863 clips, 188 tags",
        usable,
        "usable clips of protocol full: 17 train, 5 valid, 7 test, "
        "but published are 18,706 train, 1,825 valid, 5,329 test",
        "usable clips of protocol clean: 10 train, 3 valid, 4 test, "
        "but published are 15,244 train, 1,529 valid, 4,332 test",
    )


def test_the_published_counts_leave_out_the_three_empty_files() -> None:
    assert sum(MagnaTagATune.published["full"].values()) == 25_860 == MagnaTagATune.rows["clips"] - 3
    assert len(MagnaTagATune.empty) == 3


def test_empty_files_may_have_been_deleted(tiny_magnatagatune: Path) -> None:
    for path in MagnaTagATune.empty:
        (tiny_magnatagatune / path).unlink()
    assert "29 of 32 clips are usable: 3 mp3s are empty" in MagnaTagATune().index(tiny_magnatagatune).remarks


def rewrite(old: str, new: str) -> Callable[[Path], object]:
    def edit(root: Path) -> None:
        table = root / "annotations_final.csv"
        assert old in table.read_text()
        table.write_text(table.read_text().replace(old, new, 1))

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda root: (root / "annotations_final.csv").unlink(), r"annotations_final\.csv is missing: join"),
        (lambda root: (root / "annotations_final.csv").write_text(""), "needs the columns clip_id, mp3_path"),
        (lambda root: (root / "annotations_final.csv").write_bytes(b"\xff\xfe"), "not a table in UTF-8"),
        (rewrite('"clip_id"\t', '"clip"\t'), "needs the columns clip_id"),
        (rewrite('"rare 01"', '"rare 00"'), "each once"),
        (rewrite('\t"0"', '\t"yes"'), "line 2: every tag of a clip must be 0 or 1"),
        (rewrite('"0"\t"1/art', '"1/art'), "line 3: every tag"),
        (rewrite("1/artist", "/etc"), "line 3: mp3_path must begin with"),
        (rewrite("1/artist", "1/../../artist"), "leaves its root"),
        (rewrite('"101"', '"100"'), "the clip id '100' occurs twice"),
    ],
)
def test_what_is_malformed_is_refused(
    tiny_magnatagatune: Path, edit: Callable[[Path], object], message: str
) -> None:
    edit(tiny_magnatagatune)
    with pytest.raises(RefusedError, match=message):
        MagnaTagATune().index(tiny_magnatagatune)
