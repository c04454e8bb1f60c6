"""The paper's systems, six rows of data.

Ding and Lerch, Embedding Compression for Teacher-to-Student Knowledge Transfer, 2024.
"""

from dataclasses import dataclass

from east.common.errors import RefusedError


@dataclass(frozen=True)
class System:
    """What distinguishes one system from another.

    Attributes:
        distance: Key of `losses.DISTANCES`, or None: the student learns from labels alone.
        project_student: A linear layer takes the student's feature to the teacher's dimension.
        compress: A trained transformation takes the embedding to the student's dimension.
        normalize: What happens to embeddings unless the user says otherwise: "none" or "standardise".
        student: False for the logistic regression on the embeddings themselves.
    """

    distance: str | None
    project_student: bool
    compress: bool
    normalize: str
    student: bool = True

    @property
    def needs_teacher(self) -> bool:
        """Whether the system cannot do without embeddings."""
        return self.distance is not None or not self.student


SYSTEMS = {
    "teacher-lr": System(None, project_student=False, compress=False, normalize="standardise", student=False),
    "baseline": System(None, project_student=False, compress=False, normalize="none"),
    "east-fitnet": System("fitnet", project_student=True, compress=False, normalize="standardise"),
    "east-fitnet+linear": System("fitnet", project_student=False, compress=True, normalize="standardise"),
    "east-dc": System("dc", project_student=False, compress=False, normalize="none"),
    "east-dc+linear": System("dc", project_student=False, compress=True, normalize="none"),
}


def system_named(name: str) -> System:
    """The system of that name.

    Raises:
        RefusedError: There is none.
    """
    if name not in SYSTEMS:
        raise RefusedError(f"unknown system {name!r}: choose from {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
