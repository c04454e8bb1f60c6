import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from east.train.metrics import score


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
