import dcor
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from east.train.losses import distance_correlation_loss, prediction_loss, squared_euclidean


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-5), (torch.float32, 1e-4)])
@pytest.mark.parametrize(
    ("n", "d1", "d2", "scale"), [(4, 2, 3, 1), (16, 64, 1506, 1), (8, 5, 5, 1e-4), (100, 9, 3, 1e4)]
)
def test_distance_correlation_equals_dcor(
    dtype: torch.dtype, bound: float, n: int, d1: int, d2: int, scale: float
) -> None:
    x, y = draw(n, d1), draw(n, d2, seed=1)
    y[:, :2] += x[:, :2]
    expected = dcor.distance_correlation_sqr(x.numpy(), y.numpy())
    loss = distance_correlation_loss((scale * x).to(dtype), y.to(dtype))
    assert loss.dtype == dtype
    assert 1 - loss.item() == pytest.approx(expected, abs=bound)


def test_distance_correlation_of_related_batches() -> None:
    x = draw(8, 5)
    rotation = torch.linalg.qr(draw(5, 5, seed=2)).Q
    assert distance_correlation_loss(x, 3 * x @ rotation + 1).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("equal", ["student", "teacher", "both"])
def test_distance_correlation_without_spread_is_finite(equal: str) -> None:
    x = torch.ones(8, 5) if equal != "teacher" else draw(8, 5, dtype=torch.float32)
    y = torch.ones(8, 7) if equal != "student" else draw(8, 7, dtype=torch.float32)
    x.requires_grad_()
    loss = distance_correlation_loss(x, y)
    loss.backward()
    assert loss.item() == 1
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_distance_correlation_with_some_equal_rows_has_finite_gradients() -> None:
    x = draw(8, 5)
    x[3] = x[2]
    x.requires_grad_()
    distance_correlation_loss(x, draw(8, 4, seed=1)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().max() > 0


def test_distance_correlation_gradients_are_right() -> None:
    x, y = draw(6, 3).requires_grad_(), draw(6, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(distance_correlation_loss, (x, y))


def test_distance_correlation_stays_in_float32_under_autocast() -> None:
    x, y = draw(16, 64, dtype=torch.float32), draw(16, 768, seed=1, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = distance_correlation_loss(x, y)
    assert mixed.dtype == torch.float32
    assert mixed.item() == distance_correlation_loss(x, y).item()
    assert distance_correlation_loss(x.bfloat16(), y).dtype == torch.float32


def test_squared_euclidean_equals_a_loop() -> None:
    x, y = draw(3, 4, dtype=torch.float32), draw(3, 4, seed=1, dtype=torch.float32)
    total = 0.0
    for i in range(3):
        for j in range(4):
            total += (float(x[i, j]) - float(y[i, j])) ** 2
    assert squared_euclidean(x, y).item() == pytest.approx(total / 12, rel=1e-6)


def test_prediction_loss_of_known_labels_is_the_standard_one() -> None:
    logits = draw(4, 3)
    classes = torch.tensor([0, 2, 1, 2])
    one_hot = F.one_hot(classes, 3).to(torch.int8)
    assert prediction_loss(logits, one_hot, "multi-class").item() == F.cross_entropy(logits, classes).item()
    tags = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], dtype=torch.int8)
    standard = F.binary_cross_entropy_with_logits(logits, tags.double())
    assert prediction_loss(logits, tags, "multi-label").item() == pytest.approx(standard.item(), abs=1e-12)


def test_unknown_labels_do_not_count() -> None:
    logits = draw(3, 2).requires_grad_()
    tags = torch.tensor([[1, -1], [-1, -1], [0, 1]], dtype=torch.int8)
    loss = prediction_loss(logits, tags, "multi-label")
    p = logits.sigmoid().detach().numpy()
    known = -np.log([p[0, 0], 1 - p[2, 0], p[2, 1]])
    assert loss.item() == pytest.approx(known.mean())
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad == 0).tolist() == [[False, True], [True, True], [False, False]]


@pytest.mark.parametrize("task", ["multi-class", "multi-label"])
def test_a_batch_without_labels_has_no_loss_and_no_gradient(task: str) -> None:
    logits = draw(3, 2).requires_grad_()
    loss = prediction_loss(logits, torch.full((3, 2), -1, dtype=torch.int8), task)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_unlabelled_clips_of_one_class_tasks_do_not_count() -> None:
    logits = draw(3, 2)
    labels = torch.tensor([[0, 1], [-1, -1], [1, 0]], dtype=torch.int8)
    expected = F.cross_entropy(logits[[0, 2]], torch.tensor([1, 0]))
    assert prediction_loss(logits, labels, "multi-class").item() == pytest.approx(expected.item())
