"""The students: one file each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from east.common.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StudentInfo:
    """What is known of a student without building it.

    Attributes:
        name: Name on the command line.
        window: Samples it hears at once, at 16 kHz.
        citation: The paper.
    """

    name: str
    window: int
    citation: str


class Student(Protocol):
    """A student plug-in: an `nn.Module`, built as `Student(n_classes, channels)`.

    Attributes:
        info: See `StudentInfo`.
        feature: Dimension of its feature, which the teacher's embedding guides.
    """

    info: ClassVar[StudentInfo]
    feature: int

    def __init__(self, n_classes: int, channels: int) -> None: ...

    def __call__(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """(B, window) float32 -> feature (B, feature), logits (B, class).

        The feature is taken after the last block's activation and global max pool, before the first dense
        layer.
        """
        ...


STUDENTS: Registry[type[Student]] = Registry(
    kind="student",
    group="east.students",
    table={
        "sc-cnn": "east.train.students.short_chunk_cnn:ShortChunkCNN",
        "hcnn": "east.train.students.harmonic_cnn:HarmonicCNN",
    },
)
