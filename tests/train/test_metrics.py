import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from east.train.metrics import score, score_resamples


def test_accuracy() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], dtype=np.float32)
    labels = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.int8)
    scores = score(probabilities, labels, ["a", "b"], "multi-class")
    assert scores.overall == {"accuracy": 0.75}
    assert scores.per_class == {"a": pytest.approx(2 / 3), "b": 1.0}


def test_a_class_that_does_not_occur_has_no_accuracy() -> None:
    scores = score(np.ones((1, 2), np.float32), np.array([[1, 0]], np.int8), ["a", "b"], "multi-class")
    assert scores.per_class == {"a": 1.0, "b": None}


def test_macro_average_precision_and_auc_equal_scikit_learn_over_known_pairs() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random((200, 5)).round(2).astype(np.float32)  # with ties
    labels = random.choice(np.array([-1, 0, 1], dtype=np.int8), size=(200, 5))
    scores = score(probabilities, labels, list("abcde"), "multi-label")
    known = [labels[:, c] >= 0 for c in range(5)]
    precision = [average_precision_score(labels[k, c], probabilities[k, c]) for c, k in enumerate(known)]
    auc = [roc_auc_score(labels[k, c], probabilities[k, c]) for c, k in enumerate(known)]
    assert list(scores.per_class.values()) == pytest.approx(precision, abs=1e-6)
    assert scores.overall == {
        "map": pytest.approx(np.mean(precision), abs=1e-6),
        "roc_auc": pytest.approx(np.mean(auc), abs=1e-6),
    }


def test_a_class_without_a_positive_or_a_negative_is_left_out() -> None:
    probabilities = np.array([[0.9, 0.5, 0.5], [0.1, 0.5, 0.5]], dtype=np.float32)
    labels = np.array([[1, 0, 1], [0, 0, 1]], dtype=np.int8)
    scores = score(probabilities, labels, ["both", "no positive", "no negative"], "multi-label")
    assert scores.per_class == {"both": 1.0, "no positive": None, "no negative": None}
    assert scores.overall == {"map": 1.0, "roc_auc": 1.0}


def test_a_clip_that_counts_twice_is_scikit_learns_sample_weight() -> None:
    random = np.random.default_rng(1)
    scores = random.random((300, 2)).round(2).astype(np.float32)
    labels = random.choice(np.array([-1, 0, 0, 1], dtype=np.int8), size=(300, 2))
    counts = random.integers(0, 4, size=(300, 3)).astype(np.int32)
    figures = score_resamples(scores, labels, "multi-label", counts)
    auc = np.empty((2, 3))
    for c, r in np.ndindex(2, 3):
        known = labels[:, c] >= 0
        arguments = (labels[known, c], scores[known, c])
        weights = {"sample_weight": counts[known, r]}
        assert figures.per_class[c, r] == pytest.approx(
            average_precision_score(*arguments, **weights), abs=1e-9
        )
        auc[c, r] = roc_auc_score(*arguments, **weights)
    np.testing.assert_allclose(figures.overall["roc_auc"], auc.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(figures.overall["map"], figures.per_class.mean(axis=0), atol=1e-9)


def test_accuracy_of_resamples() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], dtype=np.float32)
    labels = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.int8)  # right, wrong, right
    counts = np.array([[1, 0, 2], [1, 3, 1], [1, 0, 0]], dtype=np.int32)
    figures = score_resamples(probabilities, labels, "multi-class", counts)
    np.testing.assert_allclose(figures.overall["accuracy"], [2 / 3, 0, 2 / 3])
    np.testing.assert_allclose(figures.per_class, [[1 / 2, 0, 2 / 3], [1, np.nan, np.nan]])


def test_a_resample_without_a_class_leaves_that_class_out() -> None:
    probabilities = np.array([[0.9, 0.5], [0.1, 0.6]], dtype=np.float32)
    labels = np.array([[1, 1], [0, 0]], dtype=np.int8)
    counts = np.array([[1, 2], [1, 0]], dtype=np.int32)
    figures = score_resamples(probabilities, labels, "multi-label", counts)
    np.testing.assert_allclose(figures.overall["map"], [0.75, np.nan])
    np.testing.assert_allclose(figures.per_class, [[1, np.nan], [0.5, np.nan]])
