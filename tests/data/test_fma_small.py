import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from east.common.errors import RefusedError
from east.data.fma_small import FmaSmall
from east.data.splits import split_for

KNOWN = "known to be short or empty, and kept as they are: tracks 98565, 98567, 98569, 99134, 108925, 133297"


class Tiny(FmaSmall):
    """With the counts of the miniature, worked out by hand.

    Of every six ordinary tracks, one is for validation and one for test: 16, 4 and 4 of 24. The six known
    ones add four, one and one.
    """

    published: ClassVar[dict[str, int]] = {"train": 20, "valid": 5, "test": 5, "genres": 3}


def test_reads_the_published_layout(tiny_fma_small: Path) -> None:
    index = FmaSmall().index(tiny_fma_small)
    assert (len(index), index.task, index.max_seconds) == (30, "multi-class", 30)
    assert index.classes == ("Folk", "Hip-Hop", "Rock")
    assert index.labels.sum(axis=0).tolist() == [10, 10, 10]
    assert index.ids[:3] == ("2", "1002", "2002")  # 3 and 20 are of larger subsets
    assert index.paths[1] == "fma_small/001/001002.mp3"
    assert index.labels[:3].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert index.paths[-1] == "fma_small/133/133297.mp3"


def test_the_published_split(tiny_fma_small: Path) -> None:
    index = FmaSmall().index(tiny_fma_small)
    split = split_for("given", 1, index).tolist()
    assert split[:6] == ["train"] * 4 + ["valid", "test"]
    assert split[-6:] == ["train", "valid", "test", "train", "train", "train"]
    assert [split.count(name) for name in ("train", "valid", "test")] == [20, 5, 5]


def test_counts_that_deviate_and_known_tracks_are_remarked(tiny_fma_small: Path) -> None:
    assert Tiny().index(tiny_fma_small).remarks == (KNOWN,)
    assert FmaSmall().index(tiny_fma_small).remarks == (
        KNOWN,
        "clips: 20 train, 5 valid, 5 test, 3 genres, "
        "but published are 6,400 train, 800 valid, 800 test, 8 genres",
    )


def test_known_tracks_may_have_been_deleted(tiny_fma_small: Path) -> None:
    for track in FmaSmall.short:
        (tiny_fma_small / f"fma_small/{track:06d}"[:-3] / f"{track:06d}.mp3").unlink()
    assert len(FmaSmall().index(tiny_fma_small)) == 30


def rewrite(old: str, new: str) -> Callable[[Path], object]:
    def edit(root: Path) -> None:
        table = root / "fma_metadata" / "tracks.csv"
        assert old in table.read_text()
        table.write_text(table.read_text().replace(old, new, 1))

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda root: shutil.rmtree(root / "fma_metadata"),
            r"fma_metadata/tracks\.csv is missing: unzip both",
        ),
        (
            lambda root: shutil.rmtree(root / "fma_small"),
            r"fma_small is missing \(24 of 30 audio files are\)",
        ),
        (lambda root: shutil.rmtree(root / "fma_small" / "004"), r"fma_small/004 is missing \(1 of 30"),
        (
            lambda root: (root / "fma_small" / "023" / "023002.mp3").unlink(),
            r"fma_small/023/023002\.mp3 is missing \(1 of 30 audio files are\): unzip both in one folder",
        ),
        (lambda root: (root / "fma_metadata" / "tracks.csv").write_text(""), "no column 'set subset'"),
        (rewrite("genre_top", "genre"), "no column 'track genre_top' in its two header rows"),
        (rewrite("training,small", "training"), "row 4 has 6 of 7 columns"),
        (rewrite("training,small", "train,small"), "row 4: a track needs a number, a known split"),
        (rewrite("Hip-Hop", ""), "row 4: a track needs a number, a known split and a genre"),
    ],
)
def test_what_is_malformed_is_refused(
    tiny_fma_small: Path, edit: Callable[[Path], object], message: str
) -> None:
    edit(tiny_fma_small)
    with pytest.raises(RefusedError, match=message):
        FmaSmall().index(tiny_fma_small)


def test_a_very_long_field_is_read(tiny_fma_small: Path) -> None:
    rewrite("<p>two", "<p>" + "two " * 50_000)(tiny_fma_small)
    assert len(FmaSmall().index(tiny_fma_small)) == 30
