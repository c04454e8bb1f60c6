import numpy as np
import pytest

from east.train.few_labels import choose_labelled


def test_a_share_of_every_class() -> None:
    labels = np.repeat(np.eye(3, dtype=np.int8), [40, 20, 8], axis=0)
    chosen = choose_labelled(labels, 0.25, seed=0)
    assert labels[chosen].sum(axis=0).tolist() == [10, 5, 2]


def test_every_class_keeps_one() -> None:
    labels = np.repeat(np.eye(2, dtype=np.int8), [100, 2], axis=0)
    assert labels[choose_labelled(labels, 0.05, seed=0)].sum(axis=0).tolist() == [5, 1]


def test_tags_are_stratified_too() -> None:
    random = np.random.default_rng(0)
    labels = (random.random((400, 6)) < [0.5, 0.4, 0.3, 0.2, 0.1, 0.05]).astype(np.int8)
    chosen = choose_labelled(labels, 0.25, seed=0)
    assert chosen.sum() == pytest.approx(100, rel=0.15)
    rare = labels[chosen].sum(axis=0)[-2:] / labels.sum(axis=0)[-2:]
    assert rare.tolist() == pytest.approx([0.25, 0.25], abs=0.05)


def test_seeded() -> None:
    labels = np.eye(2, dtype=np.int8)[np.arange(100) % 2]
    assert (choose_labelled(labels, 0.3, 1) == choose_labelled(labels, 0.3, 1)).all()
    assert (choose_labelled(labels, 0.3, 1) != choose_labelled(labels, 0.3, 2)).any()


def test_all_of_them() -> None:
    labels = np.array([[1, 0], [0, 0], [-1, 1], [0, 1]], dtype=np.int8)
    assert choose_labelled(labels, 1.0, seed=0).all()
