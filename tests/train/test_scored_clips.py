import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score

from east.common.errors import RefusedError
from east.train.scored_clips import ScoredClips, interval_of, summarise


def scored(task: str = "multi-label", n: int = 200, names: str = "clip", shift: float = 0.3) -> ScoredClips:
    random = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.int8)[random.integers(3, size=n)]
    scores = (random.random((n, 3)) + shift * labels).astype(np.float32)
    clip_id = np.array([f"{names}{i}" for i in range(n)])
    return ScoredClips(clip_id, scores, labels, list("abc"), task)


def test_saved_and_loaded_again(tmp_path: Path) -> None:
    clips = scored()
    clips.labels[0, 0] = -1
    clips.save(tmp_path / "scores.npz")
    again = ScoredClips.load(tmp_path / "scores.npz")
    for name in ("clip_id", "scores", "labels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clips, name))
        assert getattr(again, name).dtype == getattr(clips, name).dtype
    assert (again.classes, again.task) == (["a", "b", "c"], "multi-label")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def test_pickles_and_damaged_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "scores.npz"
    np.savez(path, clip_id=np.array([Bomb()], dtype=object), classes=np.array(["a"]), task=np.array("x"))
    whole = path.read_bytes()
    for content in (whole, whole[:100], b"", pickle.dumps(Bomb())):
        path.write_bytes(content)
        with pytest.raises(RefusedError, match=r"scores\.npz cannot be read"):
            ScoredClips.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("clip_id.txt", "none")
    with pytest.raises(RefusedError, match=r"scores\.npz cannot be read"):
        ScoredClips.load(path)
    assert not (tmp_path / "exploded").exists()


def test_figures_intervals_and_names_of_what_is_left_out() -> None:
    clips = scored()
    clips.labels[:, 2] = 0
    summary = summarise(clips)
    precision = [average_precision_score(clips.labels[:, c], clips.scores[:, c]) for c in (0, 1)]
    assert summary["test"]["map"] == pytest.approx(np.mean(precision), abs=1e-6)
    assert summary["per_class"] == {
        "a": pytest.approx(precision[0], abs=1e-6),
        "b": pytest.approx(precision[1], abs=1e-6),
        "c": None,
    }
    assert summary["left_out_classes"] == ["c"]
    assert summary["per_class_interval"]["c"] is None
    for name in "ab":
        low, high = summary["per_class_interval"][name]
        assert low < summary["per_class"][name] < high


def test_interval_is_the_percentile_bootstrap() -> None:
    clips = scored("multi-class")
    right = clips.scores.argmax(axis=1) == clips.labels.argmax(axis=1)
    low, high = summarise(clips)["test_interval"]["accuracy"]

    theirs = bootstrap((right,), np.mean, method="percentile", n_resamples=20_000, random_state=0)
    assert [low, high] == pytest.approx(list(theirs.confidence_interval), abs=0.01)
    spread = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / len(right))  # the normal approximation
    assert (high - low) / 2 == pytest.approx(spread, rel=0.1)


def test_the_same_clips_are_resampled_alike_and_other_clips_independently() -> None:
    first, better = scored(shift=0.3), scored(shift=0.4)
    other = scored(names="other")
    values = [clips.resamples().overall["map"] for clips in (first, first, better, other)]
    assert all(v.shape == (1000,) for v in values)
    np.testing.assert_array_equal(values[0], values[1])
    assert np.corrcoef(values[0], values[2])[0, 1] > 0.8
    assert abs(np.corrcoef(values[0], values[3])[0, 1]) < 0.15


def test_an_interval_of_nothing() -> None:
    assert interval_of(np.full(10, np.nan)) is None
    assert interval_of(np.array([np.nan, 1.0, 1.0])) == [1.0, 1.0]
