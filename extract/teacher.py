"""What a teacher is: two pure steps, and a record of where it comes from. Batching is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class PublishedWeights:
    """Where the published weights come from.

    Attributes:
        source: For a person: the package or address.
        filename: Name of the file in the cache folder.
        sha256: Of that file.
    """

    source: str
    filename: str
    sha256: str


@dataclass(frozen=True)
class TeacherInfo:
    """What is known of a teacher without loading it.

    Attributes:
        name: Name on the command line and in the store.
        sample_rate: Rate in Hz of the audio it hears.
        feature: Dimension of one embedding.
        min_samples: Shorter clips are zero-padded to this length.
        windows: How a clip is cut into frames, in words; part of the identity of what is stored.
        supervision: How it was trained: "supervised" or "contrastive".
        packages: Python packages whose versions are recorded.
        licences: Licences of "code" and "weights".
        citation: The paper.
        weights: The published weights.
    """

    name: str
    sample_rate: int
    feature: int
    min_samples: int
    windows: str
    supervision: str
    packages: tuple[str, ...]
    licences: dict[str, str]
    citation: str
    weights: PublishedWeights


@dataclass(frozen=True)
class Weights:
    """The weights to load: published or the user's own file, or seeded random ones.

    Attributes:
        source: "published", "file" or "random".
        path: The file; None for random weights.
        sha256: Of the file; for random weights a name of the seed.
    """

    source: str
    path: Path | None
    sha256: str


@dataclass(frozen=True)
class TeacherSpec:
    """How to load a teacher; equal specs share one loaded network."""

    name: str
    weights: Weights
    device: str


class Teacher(Protocol):
    """A teacher plug-in: one file, one class."""

    info: ClassVar[TeacherInfo]

    @classmethod
    def load(cls, weights: Weights, device: torch.device) -> Self:
        """Build the network in eval mode on the device.

        Raises:
            RefusedError: The weights are not this teacher's.
        """
        ...

    def windows(self, audio: Tensor) -> Tensor:
        """Cut one clip as the original package does for that clip alone.

        Args:
            audio: (samples,) float32 in [-1, 1] at `info.sample_rate`, at least `info.min_samples` long.

        Returns:
            (frames, ...) float32: the network's input, one row per frame.
        """
        ...

    def embed(self, windows: Tensor) -> Tensor:
        """Embed windows of equal shape from any clips: (n, ...) -> (n, feature) float32."""
        ...
