"""What a training run is asked for, checked before anything starts."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from east.common.errors import RefusedError
from east.train.systems import System, system_named

MIN_BATCH = 4
"""Smallest batch that trains: batch norm and distance correlation say nothing about less."""

# Where and how fast a run is computed does not make it another run.
_NOT_IDENTITY = ("store", "device", "workers", "require", "resume", "out")


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    The optimisation follows the authors' earlier configuration (Ding & Lerch, ISMIR 2023,
    config/magna/east_final_passt.json of https://github.com/suncerock/EAsT-music-classification): Adam,
    learning rate and weight decay 1e-4, batch 16, gradient clipping at 1, plateau factor 0.2 with patience
    5, early stopping with patience 12. `weight` 0.5 (theirs was 0.6) and at most 200 epochs of one random
    crop per clip are ours. Plateau and early stopping follow the valid loss without L_teacher (with
    compression L_pred alone, since the target of L_dist then changes from epoch to epoch).

    Attributes:
        store: Path or URL of the store.
        system: One of `SYSTEMS`.
        teacher: Name of a teacher in the store, where the system needs one.
        student: Name of a student.
        protocol: Evaluation protocol; None: the store's first.
        fold: Test fold, from 1; required where the protocol has several.
        seed: Of weights, order, crops and dropout.
        epochs: At most; required where the protocol has no valid clips.
        batch_size: Clips per step.
        lr: Learning rate.
        weight: w in (1 - w) L_pred + w L_dist.
        normalize: "none" or "standardise" the embeddings; None: as the system says.
        detach: Keep L_dist from moving the compression (the paper's "exclusively").
        compression: Form of the compression, "linear" or "mlp".
        compression_dim: Dimension of the compact embedding; None: the student's.
        channels: Width of the student.
        weight_decay: L2 penalty of Adam.
        clip: Largest gradient norm.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: As Lightning Fabric calls it: "32-true", "bf16-mixed" or "16-mixed".
        workers: Processes that read crops; None: 0 on a CPU, 4 beside a GPU.
        label_share: Share of the labelled training clips that keep their labels; the others are hidden.
        unlabelled: "use" training clips without labels for L_dist, or "drop" them; None: use them where the
            system has a distance.
        control: "shuffled": every training and valid clip gets another one's embedding, to tell transfer from
            mere regularisation.
        require: Other teachers; clips that failed for one of them are left out too.
        resume: Go on with an interrupted run after its last whole epoch; otherwise it starts over.
        out: Run folder; None: a name under runs/ that says what the run is.
    """

    store: str
    system: str
    teacher: str | None = None
    student: str = "sc-cnn"
    protocol: str | None = None
    fold: int | None = None
    seed: int = 0
    epochs: int | None = None
    batch_size: int = 16
    lr: float = 1e-4
    weight: float = 0.5
    normalize: str | None = None
    detach: bool = True
    compression: str = "linear"
    compression_dim: int | None = None
    channels: int = 128
    weight_decay: float = 1e-4
    clip: float = 1.0
    device: str = "auto"
    precision: str = "32-true"
    workers: int | None = None
    label_share: float | None = None
    unlabelled: str | None = None
    control: str | None = None
    require: tuple[str, ...] = ()
    resume: bool = False
    out: Path | None = None

    def __post_init__(self) -> None:
        row = self.system_row
        if row.needs_teacher and self.teacher is None:
            raise RefusedError(f"system {self.system!r} needs embeddings: give --teacher NAME")
        if not row.needs_teacher and self.teacher is not None:
            raise RefusedError(f"system {self.system!r} uses no teacher: leave --teacher out")
        if self.unlabelled == "use" and row.distance is None:
            raise RefusedError(
                f"system {self.system!r} has no distance to use unlabelled clips for: drop them"
            )
        if self.control is not None and row.distance is None:
            raise RefusedError(
                f"--control is for systems with a distance: leave it out with system {self.system!r}"
            )
        self._check_numbers()
        self._check_choices()

    @property
    def system_row(self) -> System:
        """The system's row of data."""
        return system_named(self.system)

    @property
    def normalized(self) -> str:
        """What happens to the embeddings: the user's choice or the system's."""
        return self.normalize or self.system_row.normalize

    @property
    def uses_unlabelled(self) -> bool:
        """Whether training clips without labels take part."""
        return self.system_row.distance is not None and self.unlabelled != "drop"

    def hash(self, identity: str, clips: str) -> str:
        """Short hash of everything that makes the result: with the store's identity and the clips used."""
        parts = {key: value for key, value in asdict(self).items() if key not in _NOT_IDENTITY}
        return hashlib.sha256(json.dumps([parts, identity, clips], sort_keys=True).encode()).hexdigest()[:8]

    def _check_numbers(self) -> None:
        for name, lowest in (
            ("epochs", 1),
            ("batch_size", 2),
            ("channels", 1),
            ("compression_dim", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise RefusedError(f"--{name.replace('_', '-')} {value} must be at least {lowest}")
        if self.system_row.distance is not None and self.batch_size < MIN_BATCH:
            raise RefusedError(
                f"--batch-size {self.batch_size} is too small for a distance: use {MIN_BATCH} or more"
            )
        if not 0 < self.lr <= 1:
            raise RefusedError(f"--lr {self.lr:g} must be above 0 and at most 1")
        if self.label_share is not None and not 0 < self.label_share <= 1:
            raise RefusedError(f"--label-share {self.label_share:g} is a share: above 0, at most 1")
        if not 0 <= self.weight <= 1:
            raise RefusedError(f"--weight {self.weight:g} must be between 0 and 1")

    def _check_choices(self) -> None:
        choices = {
            "normalize": (None, "none", "standardise"),
            "unlabelled": (None, "use", "drop"),
            "compression": ("linear", "mlp"),
            "control": (None, "shuffled"),
            "precision": ("32-true", "bf16-mixed", "16-mixed"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                named = ", ".join(str(a) for a in allowed if a)
                raise RefusedError(f"--{name} {getattr(self, name)!r} is not known: choose from {named}")
        check_device(self.device)


def check_device(name: str) -> None:
    """Refuse what is no name of a device.

    Raises:
        RefusedError: It is none.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise RefusedError(f"--device {name!r} is not known: choose auto, cpu, cuda or cuda:N")
