"""Who moves whom: the gradients of the objective's terms."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from east.train.guided import GuidedStudent, TeacherTransformation, Terms, objective, shuffled_distance
from east.train.students import StudentInfo
from east.train.systems import SYSTEMS

LABELS = torch.eye(3, dtype=torch.int8)[torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])]


class Tiny(nn.Module):
    info: ClassVar[StudentInfo] = StudentInfo("tiny", 20, "")

    def __init__(self, n_classes: int, channels: int) -> None:
        super().__init__()
        self.feature = channels
        self.body = nn.Linear(20, channels)
        self.head = nn.Linear(channels, n_classes)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        feature = self.body(audio).relu()
        return feature, self.head(feature)


def guided(system: str, form: str = "linear") -> GuidedStudent:
    torch.manual_seed(0)
    row = SYSTEMS[system]
    transformation = TeacherTransformation(6, 4, 3, form) if row.compress else None
    return GuidedStudent(Tiny(3, 4), row, (torch.zeros(6), torch.ones(6)), transformation)


def terms_of(model: GuidedStudent, system: str, detach: bool = True) -> Terms:
    torch.manual_seed(1)
    outputs = model(torch.randn(8, 20), torch.randn(8, 6))
    return objective(outputs, LABELS, "multi-class", SYSTEMS[system], detach)


def moved(model: GuidedStudent, loss: Tensor) -> set[str]:
    """The parts of the model that this loss would move."""
    model.zero_grad()
    loss.backward()
    named = [(name, p) for name, p in model.named_parameters() if p.grad is not None and p.grad.any()]
    return {".".join(name.split(".")[:2]) for name, _ in named}


WHOLE_STUDENT = {"student.body", "student.head"}
WHOLE_TRANSFORMATION = {"transformation.map", "transformation.head"}


@pytest.mark.parametrize("form", ["linear", "mlp"])
@pytest.mark.parametrize("system", ["east-fitnet+linear", "east-dc+linear"])
def test_three_gradient_facts_of_compression(system: str, form: str) -> None:
    model = guided(system, form)
    terms = terms_of(model, system)
    assert terms.teacher is not None
    assert terms.dist is not None
    assert moved(model, terms.teacher) == WHOLE_TRANSFORMATION
    assert moved(model, terms_of(model, system).student_loss(0.5)) == WHOLE_STUDENT
    dist = terms_of(model, system).dist
    assert dist is not None
    assert moved(model, dist) == {"student.body"}


def test_forms_of_the_compression() -> None:
    torch.manual_seed(0)
    linear, mlp = TeacherTransformation(6, 4, 3, "linear"), TeacherTransformation(6, 4, 3, "mlp")
    a, b = torch.randn(2, 6), torch.randn(2, 6)
    for transformation, is_affine in ((linear, True), (mlp, False)):
        compact, logits = transformation(a)
        assert (compact.shape, logits.shape) == ((2, 4), (2, 3))
        middle = (compact + transformation(b)[0]) / 2
        assert torch.allclose(transformation((a + b) / 2)[0], middle, atol=1e-5) == is_affine


def test_without_detach_the_distance_moves_the_map() -> None:
    model = guided("east-fitnet+linear")
    dist = terms_of(model, "east-fitnet+linear", detach=False).dist
    assert dist is not None
    assert moved(model, dist) == {"student.body", "transformation.map"}


def test_projection_learns_from_the_distance() -> None:
    model = guided("east-fitnet")
    dist = terms_of(model, "east-fitnet").dist
    assert dist is not None
    assert moved(model, dist) == {"student.body", "projection.weight", "projection.bias"}


@pytest.mark.parametrize(
    ("system", "projection", "transformation"),
    [
        ("baseline", False, False),
        ("east-fitnet", True, False),
        ("east-fitnet+linear", False, True),
        ("east-dc", False, False),
        ("east-dc+linear", False, True),
    ],
)
def test_systems_are_rows_of_data(system: str, projection: bool, transformation: bool) -> None:
    model = guided(system)
    assert (model.projection is not None) == projection
    assert (model.transformation is not None) == transformation
    terms = terms_of(model, system)
    assert (terms.dist is not None) == (system != "baseline")
    assert (terms.teacher is not None) == transformation


def test_the_sum() -> None:
    terms = Terms(torch.tensor(2.0), torch.tensor(10.0), torch.tensor(100.0))
    assert terms.student_loss(0.25).item() == 0.75 * 2 + 0.25 * 10
    assert terms.total(0.25).item() == 0.75 * 2 + 0.25 * 10 + 100
    assert (
        Terms(torch.tensor(2.0), None, None).total(0.25).item() == 2
    )  # no distance: all weight on the labels


def test_a_clip_without_a_label_takes_part_in_the_distance_only() -> None:
    model = guided("east-dc")
    torch.manual_seed(1)
    audio, embedding = torch.randn(8, 20), torch.randn(8, 6)
    unlabelled = torch.full_like(LABELS, -1)
    terms = objective(model(audio, embedding), unlabelled, "multi-class", SYSTEMS["east-dc"])
    assert terms.pred.item() == 0
    assert terms.dist is not None
    assert moved(model, terms.total(0.5)) == {"student.body"}


def test_a_batch_under_four_gives_no_distance() -> None:
    model = guided("east-dc")
    outputs = model(torch.randn(3, 20), torch.randn(3, 6))
    assert objective(outputs, LABELS[:3], "multi-class", SYSTEMS["east-dc"]).dist is None


def test_embeddings_are_normalised_inside_and_the_statistics_are_saved() -> None:
    row = SYSTEMS["east-dc"]
    model = GuidedStudent(Tiny(3, 4), row, (torch.full((6,), 2.0), torch.full((6,), 4.0)))
    target = model(torch.randn(2, 20), torch.full((2, 6), 10.0)).target
    assert target is not None
    assert (target == 2).all()
    assert {"embedding_mean", "embedding_deviation"} <= set(model.state_dict())


def test_shuffled_distance_breaks_the_pairs() -> None:
    model = guided("east-fitnet+linear")
    outputs = model(torch.randn(64, 20), torch.randn(64, 6))
    same = outputs._replace(feature=outputs.target)
    generator = torch.Generator().manual_seed(0)
    assert shuffled_distance(same, SYSTEMS["east-fitnet+linear"], generator).item() > 0.01
