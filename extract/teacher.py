"""What a teacher is: two pure steps, and a record of where it comes from. Batching is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class PublishedFile:
    """One file of the published weights.

    Attributes:
        filename: Its name in the cache folder.
        source: Where it is fetched: "pip:REQUIREMENT" or an address.
        digest: "sha256:..." or "md5:..." of the file; None where nobody publishes one.
        size: In bytes; None where it is not known.
        identifies: Whether it is part of the identity of what the teacher computes.
    """

    filename: str
    source: str
    digest: str | None = None
    size: int | None = None
    identifies: bool = True


@dataclass(frozen=True)
class PublishedWeights:
    """The published weights: one file, or several that are used as one folder.

    Attributes:
        files: The files; empty where the weights come with the package itself.
        third_party: Whether the digests come from somebody else than the authors, so that one that differs
            may be overruled by the user.
    """

    files: tuple[PublishedFile, ...] = ()
    third_party: bool = False


@dataclass(frozen=True)
class Parameters:
    """Number of parameters of the network.

    Attributes:
        trainable: Those that training would move, classifier heads included.
        total: With fixed ones, as the filters of a front end that computes its STFT as a convolution.
        without_heads: Trainable ones of what computes the embedding.
        published: Whether the numbers are quoted; otherwise they were counted.
    """

    trainable: int
    total: int
    without_heads: int
    published: bool = False


@dataclass(frozen=True)
class TeacherInfo:
    """What is known of a teacher without loading it.

    Attributes:
        name: Name of its group in the store.
        sample_rate: Rate in Hz of the audio it hears.
        feature: Dimension of one embedding.
        min_samples: Shorter clips are zero-padded to this length.
        windows: How a clip is cut into frames, in words; part of the identity of what is stored.
        supervision: How it was trained: "supervised" or "contrastive".
        packages: Python packages whose versions are recorded; the first one carries the network.
        licences: Licences of "code" and "weights".
        citation: The paper.
        weights: The published weights.
        parameters: Size of the network; None where it is only known after loading.
        precisions: What `embed` may compute in.
        batch_size: Windows per forward pass where the network has that number fixed inside, whatever
            `--batch-size` says.
        remark: What else a user of the embeddings should know.
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
    parameters: Parameters | None = None
    precisions: tuple[str, ...] = ("float32", "bf16", "fp16")
    batch_size: int | None = None
    remark: str = ""


@dataclass(frozen=True)
class Weights:
    """The weights to load: published or the user's own, or seeded random ones.

    Attributes:
        source: "published", "file", "random", or "package" where they come with the package.
        path: The file, or the folder of the files; None for random weights and those of a package.
        sha256: Of the file, or of the list of the files' hashes; else a name that stands for it.
    """

    source: str
    path: Path | None
    sha256: str


@dataclass(frozen=True)
class TeacherSpec:
    """How to load a teacher; equal specs share one loaded network.

    Attributes:
        plugin: What the user named, "NAME" or "FAMILY:ARGUMENT".
        name: Name of its group in the store.
        weights: The weights.
        device: As `--device` has it.
    """

    plugin: str
    name: str
    weights: Weights
    device: str


class TeacherClass(Protocol):
    """What is known of a teacher before it is loaded; a plug-in is one class that is this and a `Teacher`."""

    @property
    def info(self) -> TeacherInfo:
        """The class attribute `info`."""
        ...

    def load(self, weights: Weights, device: torch.device) -> Teacher:
        """Build the network in eval mode on the device (a class method).

        Raises:
            RefusedError: The weights are not this teacher's.
        """
        ...


class Teacher(Protocol):
    """A loaded teacher. Cutting and computing are pure: batching is not its business."""

    device: torch.device

    @property
    def info(self) -> TeacherInfo:
        """What is known of it."""
        ...

    def windows(self, audio: Tensor) -> Tensor:
        """Cut one clip as the original package does for that clip alone, and run the front end.

        Always computed in float32: the front ends lose tens of dB in anything less.

        Args:
            audio: (samples,) float32 in [-1, 1] at `info.sample_rate` on `device`, at least
                `info.min_samples` long.

        Returns:
            (frames, ...) float32: the network's input, one row per frame.
        """
        ...

    def embed(self, windows: Tensor) -> Tensor:
        """Embed windows of equal shape from any clips: (n, ...) -> (n, feature).

        Runs under autocast where a lower precision is asked for.
        """
        ...
