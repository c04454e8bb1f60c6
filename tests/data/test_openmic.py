import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from east.common.errors import RefusedError
from east.data.openmic import OpenMic
from east.data.splits import hash_share, split_for

VALID = [1, 8, 16, 25, 37]  # sha256 of the key, first four bytes, below 15 % of 2^32


class Tiny(OpenMic):
    """With the counts of the miniature."""

    published: ClassVar[dict[str, int]] = {"train and valid": 32, "test": 8, "instruments": 20}


def test_reads_the_published_layout(tiny_openmic: Path) -> None:
    index = OpenMic().index(tiny_openmic)
    assert (len(index), index.task, index.max_seconds) == (40, "multi-label", 10)
    assert (index.classes[0], index.classes[12], index.classes[19]) == ("accordion", "piano", "voice")
    assert index.ids[:2] == ("000046_0", "001046_1280")
    assert index.paths[:2] == ("audio/000/000046_0.ogg", "audio/001/001046_1280.ogg")


def test_a_label_is_known_only_where_somebody_was_asked(tiny_openmic: Path) -> None:
    labels = OpenMic().index(tiny_openmic).labels
    others = [c for c in range(20) if c not in (12, 19)]
    assert (labels[:, others] == -1).all()  # although their probability is 0.5
    assert (labels[39] == -1).all()
    piano, voice = labels[:, 12], labels[:, 19]
    assert [int((piano == value).sum()) for value in (1, 0, -1)] == [13, 26, 1]
    assert [int((voice == value).sum()) for value in (1, 0, -1)] == [10, 10, 20]
    assert voice[:5].tolist() == [1, -1, 0, -1, 1]  # 0.5 is present, 0.49 is not


def test_split(tiny_openmic: Path) -> None:
    index = OpenMic().index(tiny_openmic)
    split = split_for("given", 1, index)
    assert np.flatnonzero(split == "test").tolist() == [4, 9, 14, 19, 24, 29, 34, 39]
    assert np.flatnonzero(split == "valid").tolist() == VALID
    assert (split == "train").sum() == 32 - len(VALID)


def test_a_share_of_the_published_training_clips_is_valid() -> None:
    assert np.mean([hash_share(f"{n:06d}_{n}") < 0.15 for n in range(15_000)]) == pytest.approx(
        0.15, abs=0.01
    )


def test_a_clip_of_no_partition_is_unused(tiny_openmic: Path) -> None:
    (tiny_openmic / "partitions" / "split01_test.csv").write_text("004046_5120\n")
    index = OpenMic().index(tiny_openmic)
    split = split_for("given", 1, index)
    assert np.flatnonzero(split == "").tolist() == [9, 14, 19, 24, 29, 34, 39]
    assert "32 train and valid, 1 test, 20 instruments" in index.remarks[0]


def test_counts_that_deviate_are_remarked(tiny_openmic: Path) -> None:
    assert Tiny().index(tiny_openmic).remarks == ()
    assert OpenMic().index(tiny_openmic).remarks == (
        "clips: 32 train and valid, 8 test, 20 instruments, "
        "but published are 14,915 train and valid, 5,085 test, 20 instruments",
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda root: shutil.rmtree(root), r"openmic-2018\.npz is missing: unpack it"),
        (lambda root: (root / "class-map.json").unlink(), r"class-map\.json is missing"),
        (lambda root: (root / "class-map.json").write_text("{"), "is not JSON"),
        (
            lambda root: (root / "class-map.json").write_text("[]"),
            "each of 20 instruments its column, 0 to 19",
        ),
        (
            lambda root: (root / "class-map.json").write_text(json.dumps({str(i): i + 1 for i in range(20)})),
            "each of 20 instruments its column, 0 to 19",
        ),
        (lambda root: (root / "partitions" / "split01_train.csv").unlink(), r"split01_train\.csv is missing"),
        (lambda root: shutil.rmtree(root / "audio"), r"openmic-2018/audio is missing \(40 of 40 audio files"),
        (lambda root: shutil.rmtree(root / "audio" / "017"), r"audio/017 is missing \(1 of 40"),
        (lambda root: np.savez(root / "openmic-2018.npz", Y_true=np.zeros(3)), "sample_key cannot be read"),
    ],
)
def test_what_is_malformed_is_refused(
    tiny_openmic: Path, edit: Callable[[Path], object], message: str
) -> None:
    edit(tiny_openmic)
    with pytest.raises(RefusedError, match=message):
        OpenMic().index(tiny_openmic)


def test_arrays_that_do_not_fit_together_are_refused(tiny_openmic: Path) -> None:
    keys = np.array(["000046_0"], dtype=object)
    arrays = {"Y_true": np.zeros((2, 20)), "Y_mask": np.ones((2, 20), bool), "sample_key": keys}
    np.savez(tiny_openmic / "openmic-2018.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match=r"do not fit together: \(1,\), \(2, 20\), \(2, 20\)"):
        OpenMic().index(tiny_openmic)
