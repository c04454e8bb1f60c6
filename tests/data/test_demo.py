from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from east.common.errors import RefusedError
from east.data.demo import Demo, DemoShift
from east.data.demo_music import DRUMS, FAMILIES, TAGS, draw_phrase
from east.data.splits import split_for


class Short(Demo):
    """The same, of a few clips."""

    sizes: ClassVar[dict[str, int]] = {"train": 6, "valid": 2, "test": 3}


class ShortShift(DemoShift):
    sizes: ClassVar[dict[str, int]] = {"test": 3}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "demo"
    Short().index(root)
    return root


def sounds(root: Path) -> dict[str, np.ndarray]:
    return {path.name: soundfile.read(path)[0] for path in sorted((root / "audio").iterdir())}


def test_sizes() -> None:
    assert Demo.sizes == {"train": 480, "valid": 120, "test": 200}
    assert DemoShift.sizes == {"test": 200}


def test_index(rendered: Path) -> None:
    index = Short().index(rendered)
    assert index.classes == TAGS
    assert len(TAGS) == 14
    assert split_for("given", 1, index).tolist() == ["train"] * 6 + ["valid"] * 2 + ["test"] * 3
    assert ((index.labels == 0) | (index.labels == 1)).all()
    assert (index.labels[:, :10].sum(axis=1) >= 1).all()  # somebody plays


def test_same_samples_every_time(rendered: Path, tmp_path: Path) -> None:
    Short().index(tmp_path / "again")
    again, first = sounds(tmp_path / "again"), sounds(rendered)
    assert again.keys() == first.keys()
    for name in first:
        np.testing.assert_array_equal(again[name], first[name])


def test_neither_silent_nor_clipped(rendered: Path, tmp_path: Path) -> None:
    ShortShift().index(tmp_path / "shift")
    for sound in [*sounds(rendered).values(), *sounds(tmp_path / "shift").values()]:
        assert len(sound) == 4 * 48_000
        assert 0.005 < np.abs(sound).max() < 0.99


def test_rendered_once(rendered: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in rendered.rglob("*")}
    Short().index(rendered)
    assert {path: path.stat().st_mtime_ns for path in rendered.rglob("*")} == before


def test_a_killed_rendering_is_not_taken_for_a_finished_one(tmp_path: Path) -> None:
    (tmp_path / "demo.partial" / "audio").mkdir(parents=True)
    (tmp_path / "demo.partial" / "clips.csv").write_text("path,labels,split\n")
    assert len(Short().index(tmp_path / "demo")) == 11
    assert not (tmp_path / "demo.partial").exists()


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RefusedError, match="holds something else"):
        Short().index(tmp_path)


def test_no_program_is_heard_in_two_worlds() -> None:
    for family in (*FAMILIES, DRUMS):
        programs = [*family.train, *family.test, *family.shift]
        assert len(programs) == len(set(programs)), family.name


def test_every_tag_is_neither_rare_nor_common() -> None:
    phrases = [draw_phrase(np.random.default_rng([1, 0, number])) for number in range(480)]
    counts = {tag: sum(tag in phrase.tags for phrase in phrases) for tag in TAGS}
    assert all(70 < count < 240 for count in counts.values()), counts
