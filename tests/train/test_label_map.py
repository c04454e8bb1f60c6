"""Label maps: those that come with the project, the user's own, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from east.common.errors import RefusedError
from east.train.label_map import LabelMap, equal_names, load_label_map, parse_label_map, shipped_maps

# As published: the 50 most frequent tags of MagnaTagATune, and the classes of OpenMIC-2018.
MAGNATAGATUNE = [
    *("guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano"),
    *(
        "ambient",
        "beat",
        "violin",
        "vocal",
        "synth",
        "female",
        "indian",
        "opera",
        "male",
        "singing",
        "vocals",
    ),
    *("no vocals", "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft"),
    *("sitar", "solo", "man", "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal"),
    *("beats", "harp", "cello", "no voice", "weird", "country", "metal", "female voice", "choral"),
]
OPENMIC = [
    *("accordion", "banjo", "bass", "cello", "clarinet", "cymbals", "drums", "flute", "guitar"),
    *("mallet_percussion", "mandolin", "organ", "piano", "saxophone", "synthesizer", "trombone", "trumpet"),
    *("ukulele", "violin", "voice"),
]


def test_eight_unambiguous_labels() -> None:
    eight = load_label_map("magnatagatune-openmic")
    assert eight.labels == {
        "cello": ("cello",),
        "drums": ("drums",),
        "flute": ("flute",),
        "guitar": ("guitar",),
        "piano": ("piano",),
        "synthesizer": ("synth",),
        "violin": ("violin",),
        "voice": ("voice",),
    }
    eight.check(MAGNATAGATUNE, OPENMIC)


def test_a_ninth_label_is_our_reading() -> None:
    eight, nine = load_label_map("magnatagatune-openmic"), load_label_map("magnatagatune-openmic-nine")
    assert {**eight.labels, "cymbals": ("drums",)} == nine.labels
    nine.check(MAGNATAGATUNE, OPENMIC)
    assert "our reading" in shipped_maps()["magnatagatune-openmic-nine"]


def test_several_tags_by_maximum_or_mean() -> None:
    scores = np.array([[0.2, 0.6, 0.9], [0.8, 0.0, 0.1]], dtype=np.float32)
    labels = {"voice": ("singing", "vocals"), "drums": ("drums",)}
    source = ["singing", "vocals", "drums"]
    maximum = LabelMap("m", labels, "maximum").apply(scores, source)
    mean = LabelMap("m", labels, "mean").apply(scores, source)
    np.testing.assert_allclose(maximum, [[0.6, 0.9], [0.8, 0.1]])
    np.testing.assert_allclose(mean, [[0.4, 0.9], [0.4, 0.1]])
    assert maximum.dtype == mean.dtype == np.float32


def test_a_file_of_the_users(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("combine: mean\nlabels:\n  voice: [singing, vocals]\n")
    assert load_label_map(str(path)) == LabelMap(str(path), {"voice": ("singing", "vocals")}, "mean")


def test_equal_names_in_the_order_of_the_target() -> None:
    assert equal_names(["b", "x", "a"], ["a", "b", "c"]).labels == {"a": ("a",), "b": ("b",)}
    with pytest.raises(RefusedError, match=r"no class of the store \(c\) is one of the student's \(a, b\)"):
        equal_names(["a", "b"], ["c"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels: [", "is not YAML"),
        ("", "must have `labels`"),
        ("labels: {a: [b]}\nmode: mean", "may have `combine`, nothing else"),
        ("labels: {a: [b]}\ncombine: median", "combine is 'median', it can be maximum or mean"),
        ("labels: {}", "must name at least one class"),
        ("labels: [a, b]", "must name at least one class"),
        ("labels: {a: b}", "'a' must be text and have a list of tags"),
        ("labels: {a: []}", "'a' must be text and have a list of tags"),
        ("labels: {no: [a]}", "False must be text"),
        ("labels: {a: [1990]}", "'a' must be text"),
        ("labels: !!python/object/apply:os.system [id]", "is not YAML"),
    ],
)
def test_what_is_no_label_map_is_refused(text: str, message: str) -> None:
    with pytest.raises(RefusedError, match="label map mine") as refused:
        parse_label_map("mine", text)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RefusedError, match=r"neither a file that can be read nor one of magnatagatune-openmic"
    ):
        load_label_map("magnatagatune-open")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RefusedError, match="neither a file that can be read"):
        load_label_map(str(tmp_path / "bytes.yaml"))


def test_classes_that_do_not_exist_are_named() -> None:
    label_map = LabelMap("mine", {"a": ("x", "gone"), "lost": ("x",)})
    with pytest.raises(
        RefusedError, match=r"'mine' names gone, which the student does not know \(it has: x\)"
    ):
        label_map.check(["x"], ["a", "lost"])
    with pytest.raises(RefusedError, match=r"'mine' names lost, which the store does not know \(it has: a\)"):
        label_map.check(["x", "gone"], ["a"])
