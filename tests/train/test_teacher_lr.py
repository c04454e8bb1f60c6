import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from east.train.data import TaskData
from east.train.teacher_lr import DEFAULT_L2, L2_GRID, fit_logistic_regression


def problem(task: str, valid: int) -> tuple[torch.Tensor, TaskData]:
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 8)).astype(np.float32)
    scores = x @ random.normal(size=(8, 3)) + random.normal(size=(120, 3))
    labels = (
        np.eye(3, dtype=np.int8)[scores.argmax(axis=1)]
        if task == "multi-class"
        else (scores > 0).astype(np.int8)
    )
    rows = np.arange(120)
    lengths = np.zeros(120, np.int32)
    data = TaskData(
        task,
        list("abc"),
        "given",
        None,
        rows[:60],
        rows[:60],
        rows[60 : 60 + valid],
        rows[90:],
        labels,
        lengths,
        0,
    )
    return torch.from_numpy(x), data


def test_equals_scikit_learn_for_one_class_tasks() -> None:
    x, data = problem("multi-class", valid=0)
    ours = fit_logistic_regression(x, data)
    theirs = LogisticRegression(C=1 / DEFAULT_L2, tol=1e-10, max_iter=10_000)
    theirs.fit(x[data.train].numpy().astype(float), data.labels[data.train].argmax(axis=1))
    np.testing.assert_allclose(ours.probabilities, theirs.predict_proba(x.numpy().astype(float)), atol=1e-4)


def test_equals_scikit_learn_for_tags_with_unknown_labels() -> None:
    x, data = problem("multi-label", valid=0)
    data.labels[np.random.default_rng(1).random(data.labels.shape) < 0.3] = -1
    ours = fit_logistic_regression(x, data)
    for c in range(3):
        known = data.train[data.labels[data.train, c] >= 0]
        theirs = LogisticRegression(C=1 / DEFAULT_L2, tol=1e-10, max_iter=10_000)
        theirs.fit(x[known].numpy().astype(float), data.labels[known, c])
        np.testing.assert_allclose(
            ours.probabilities[:, c], theirs.predict_proba(x.numpy().astype(float))[:, 1], atol=1e-4
        )


@pytest.mark.parametrize("task", ["multi-class", "multi-label"])
def test_penalty_is_chosen_on_valid(task: str) -> None:
    x, data = problem(task, valid=30)
    assert fit_logistic_regression(x, data).l2 in L2_GRID
    x, data = problem(task, valid=0)
    assert fit_logistic_regression(x, data).l2 == DEFAULT_L2
