"""A student with what guides it: projection, compression and the objective that joins them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from east.train.config import MIN_BATCH
from east.train.losses import DISTANCES, prediction_loss
from east.train.students import Student
from east.train.systems import System


class TeacherTransformation(nn.Module):
    """The paper's embedding compression: a trained map to the student's dimension and a head of its own.

    Args:
        n_teacher: Dimension of the embedding.
        n_compact: Dimension of the compact embedding.
        n_classes: Number of logits.
        form: "linear", or "mlp" for the paper's remark that more complex transformations overfit.
    """

    def __init__(self, n_teacher: int, n_compact: int, n_classes: int, form: str = "linear") -> None:
        super().__init__()
        hidden = nn.Sequential(nn.Linear(n_teacher, n_compact), nn.ReLU(), nn.Linear(n_compact, n_compact))
        self.map = nn.Linear(n_teacher, n_compact) if form == "linear" else hidden
        self.head = nn.Linear(n_compact, n_classes)

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n_teacher) -> compact embedding (B, n_compact), logits (B, class)."""
        compact = self.map(embedding)
        return compact, self.head(compact)


class Outputs(NamedTuple):
    """What a guided student answers for a batch."""

    logits: Tensor  # (B, class), the student's
    feature: Tensor  # (B, D), the student's side of L_dist, projected where the system says so
    target: Tensor | None = None  # (B, D2), the teacher's side of L_dist; None without a teacher
    teacher_logits: Tensor | None = None  # (B, class), of the compact embedding; None without compression


class GuidedStudent(nn.Module):
    """A student, and beside it whatever the system adds during training.

    The embeddings' training mean and deviation are buffers, so they stay with the weights.
    """

    embedding_mean: Tensor
    embedding_deviation: Tensor

    def __init__(
        self,
        student: Student,
        system: System,
        statistics: tuple[Tensor, Tensor] | None,
        transformation: TeacherTransformation | None = None,
    ) -> None:
        super().__init__()
        assert isinstance(student, nn.Module)
        self.student = student
        self.transformation = transformation
        self.projection: nn.Linear | None = None
        if statistics is not None:
            self.register_buffer("embedding_mean", statistics[0])
            self.register_buffer("embedding_deviation", statistics[1])
            if system.project_student:
                self.projection = nn.Linear(student.feature, len(statistics[0]))

    def forward(self, audio: Tensor, embedding: Tensor | None = None) -> Outputs:
        """(B, window) float32 and (B, D) embeddings as stored -> `Outputs`."""
        feature, logits = self.student(audio)
        if embedding is None:
            return Outputs(logits, feature)
        if self.projection is not None:
            feature = self.projection(feature)
        target = (embedding - self.embedding_mean) / self.embedding_deviation
        if self.transformation is None:
            return Outputs(logits, feature, target)
        compact, teacher_logits = self.transformation(target)
        return Outputs(logits, feature, compact, teacher_logits)


@dataclass(frozen=True)
class Terms:
    """The terms of the objective, each a scalar; None where the system or the batch has no such term."""

    pred: Tensor
    dist: Tensor | None
    teacher: Tensor | None

    def student_loss(self, weight: float) -> Tensor:
        """(1 - w) L_pred + w L_dist: what the student is judged by, also on valid."""
        return self.pred if self.dist is None else (1 - weight) * self.pred + weight * self.dist

    def total(self, weight: float) -> Tensor:
        """(1 - w) L_pred + w L_dist + L_teacher, one sum for one optimiser."""
        loss = self.student_loss(weight)
        return loss if self.teacher is None else loss + self.teacher


def objective(outputs: Outputs, labels: Tensor, task: str, system: System, detach: bool = True) -> Terms:
    """The terms of L for one batch (Ding & Lerch, 2024).

    With compression, L_teacher alone moves the transformation: L_dist sees the compact embedding detached.
    Otherwise the easiest way to a small distance is a compact embedding that has collapsed.

    Args:
        outputs: Of a `GuidedStudent`.
        labels: (B, class): 1, 0, or -1 unknown.
        task: "multi-class" or "multi-label".
        system: Which distance.
        detach: False lets L_dist move the transformation, to show what the paper warns of.
    """
    pred = prediction_loss(outputs.logits.float(), labels, task)
    dist = teacher = None
    if system.distance is not None and outputs.target is not None and len(labels) >= MIN_BATCH:
        compact = outputs.teacher_logits is not None
        target = outputs.target.detach() if compact and detach else outputs.target
        dist = DISTANCES[system.distance](outputs.feature, target)
    if outputs.teacher_logits is not None:
        teacher = prediction_loss(outputs.teacher_logits.float(), labels, task)
    return Terms(pred, dist, teacher)


@torch.no_grad()
def shuffled_distance(outputs: Outputs, system: System, generator: torch.Generator) -> Tensor:
    """L_dist of the same batch with its pairs shuffled: what unrelated data would give, a scalar.

    Distance correlation is biased upwards in small batches, so L_dist means little without this beside it.
    """
    assert system.distance is not None
    assert outputs.target is not None
    order = torch.randperm(len(outputs.feature), generator=generator).to(outputs.feature.device)
    return DISTANCES[system.distance](outputs.feature, outputs.target[order])
