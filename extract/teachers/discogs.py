"""Discogs-EffNet (Alonso-Jiménez et al., ISMIR 2022) through essentia's TensorFlow: the CPU reference."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from east.common.errors import RefusedError
from east.extract.teacher import Parameters, PublishedFile, PublishedWeights, TeacherInfo, Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

RATE = 16_000  # Hz
FRAME = 512  # samples
HOP = 256
BANDS = 96
PATCH = 128  # frames
PATCH_HOP = 62
BATCH = 64  # patches; fixed inside the published graphs
FEATURE = 1280
ADDRESS = "https://essentia.upf.edu/models/feature-extractors/discogs-effnet"
FILENAME = "discogs_artist_embeddings-effnet-bs64-1"
STAND_IN = "Made with a small random graph that stands in for the network: no embeddings and no speed of it."


class Discogs:
    """EfficientNet-B0 trained contrastively to tell which tracks are by the same artist."""

    info: ClassVar[TeacherInfo] = TeacherInfo(
        name="discogs",
        sample_rate=RATE,
        feature=FEATURE,
        min_samples=(PATCH - 1) * HOP + 1,  # for less, the original gives nothing
        windows="log-mel patches of 128 frames every 62, remainder dropped",
        supervision="contrastive",
        packages=("essentia-tensorflow", "torch", "soxr", "soundfile"),
        licences={"code": "AGPL-3.0-only", "weights": "CC-BY-NC-SA-4.0"},
        citation="Alonso-Jiménez, Serra and Bogdanov, Music Representation Learning Based on Editorial "
        "Metadata from Discogs, ISMIR 2022",
        weights=PublishedWeights(
            (
                PublishedFile(f"{FILENAME}.pb", f"{ADDRESS}/{FILENAME}.pb", size=18_993_367),
                PublishedFile(f"{FILENAME}.json", f"{ADDRESS}/{FILENAME}.json", size=2_194, identifies=False),
            )
        ),
        parameters=Parameters(4_000_000, 4_000_000, 4_000_000, published=True),
        precisions=("float32",),
        batch_size=BATCH,
    )

    def __init__(self, graph: Path, tensors: Tensors) -> None:
        import torch

        self.device = torch.device("cpu")  # essentia's TensorFlow 2.5 is built for CUDA 11
        self.tensors = tensors
        self._algorithms = _Algorithms(graph, tensors)

    @classmethod
    def load(cls, weights: Weights, device: torch.device) -> Discogs:  # noqa: ARG003
        """See `Teacher.load`; it stays on the CPU whatever the device."""
        import torch

        graph = file_of(weights, ".pb")
        # A GraphDef begins with its first node. On one without nodes, such as an ONNX file that happens to
        # parse, essentia crashes the process: it lists their names and subtracts one from their number.
        with graph.open("rb") as file:
            begins_with_a_node = file.read(1) == b"\x0a"
        if not begins_with_a_node:
            raise refusal(graph, cls.info, "it is no frozen TensorFlow graph")
        try:
            teacher = (cls if weights.path else _StandIn)(graph, read_tensors(graph.with_suffix(".json")))
            shape = tuple(teacher._run(torch.zeros(BATCH, PATCH, BANDS)).shape)
        except RuntimeError as error:
            raise refusal(graph, cls.info, _reason(error)) from error
        if shape != (BATCH, FEATURE):
            raise refusal(graph, cls.info, f"it gives {shape} instead of {(BATCH, FEATURE)}")
        return teacher

    def windows(self, audio: Tensor) -> Tensor:
        """(samples,) -> (frames, 128, 96) log-mel patches."""
        import numpy as np
        import torch

        front_end = self._algorithms.front_end
        bands = np.stack([front_end(frame) for frame in framed(audio).numpy()])  # (T, 96)
        return patches(torch.from_numpy(bands))

    def embed(self, windows: Tensor) -> Tensor:
        """(n, 128, 96) -> (n, 1280)."""
        return in_batches(self._run, windows)

    def _run(self, batch: Tensor) -> Tensor:
        """(64, 128, 96) -> (64, 1280)."""
        import numpy as np
        import torch

        pool = _essentia().Pool()
        pool.set(self.tensors.input, batch[:, None].numpy())
        output = self._algorithms.network(pool)[self.tensors.output]  # (64, 1, 1, 1280), the pool's own
        return torch.from_numpy(np.array(output, dtype=np.float32)).flatten(1)


class _StandIn(Discogs):
    """The small random graph."""

    info: ClassVar[TeacherInfo] = replace(Discogs.info, parameters=None, remark=STAND_IN)


@dataclass(frozen=True)
class Tensors:
    """Names of what goes into a graph and of what comes out as embeddings."""

    input: str = "serving_default_melspectrogram"
    output: str = "PartitionedCall:1"


class _Algorithms(threading.local):
    """Essentia's algorithms. They keep state, so each thread that asks for them is given its own."""

    def __init__(self, graph: Path, tensors: Tensors) -> None:
        standard = _essentia().standard
        self.front_end = standard.TensorflowInputMusiCNN()
        self.network = standard.TensorflowPredict(
            graphFilename=str(graph), inputs=[tensors.input], outputs=[tensors.output]
        )


def framed(audio: Tensor) -> Tensor:
    """Cut audio as `TensorflowPredictEffnetDiscogs` does: (samples,) -> (T, 512).

    The first frame is centred on the first sample. The original's FrameCutter makes one frame more, but the
    original counts patches without it and drops what exceeds that count. To silent frames the FrameCutter
    adds noise of 1e-10, drawn anew each time, which is rounded away in the front end's log10(1 + 10,000 mel).
    """
    from torch.nn import functional as F

    frames = -(-len(audio) // HOP)
    padded = F.pad(audio, (FRAME // 2, frames * HOP - len(audio)))
    return padded.unfold(0, FRAME, HOP)


def patches(bands: Tensor) -> Tensor:
    """(T, 96) -> (frames, 128, 96)."""
    return bands.unfold(0, PATCH, PATCH_HOP).transpose(1, 2)


def in_batches(run: Callable[[Tensor], Tensor], windows: Tensor) -> Tensor:
    """Embed any number of windows in the graph's fixed batches.

    Rows of zeros fill the last one: no row depends on another.
    """
    import torch
    from torch.nn import functional as F

    rows = [
        run(F.pad(part, (0, 0, 0, 0, 0, BATCH - len(part))))[: len(part)]
        for part in torch.split(windows, BATCH)
    ]
    return torch.cat(rows)


def file_of(weights: Weights, suffix: str) -> Path:
    """The network's file: the user's own, the published folder's, or for random weights the stand-in."""
    if weights.path is None:
        return Path(__file__).with_name("discogs_random").with_suffix(suffix)
    return weights.path / f"{FILENAME}{suffix}" if weights.path.is_dir() else weights.path


def refusal(path: Path, info: TeacherInfo, reason: str) -> RefusedError:
    """The error for a file that is not the network."""
    name = info.weights.files[0].filename
    mend = f"fetch {name} again, or give --weights {info.name}=PATH of it"
    return RefusedError(f"{path} is not the network of {info.name}: {reason}; {mend}")


def read_tensors(path: Path) -> Tensors:
    """The names in the description that is published beside a graph; the published ones where it is missing.

    Raises:
        RefusedError: The file is no such description.
    """
    if not path.is_file():
        return Tensors()
    try:
        schema = json.loads(path.read_text())["schema"]
        embeddings = [o for o in schema["outputs"] if "embedding" in _about(o)]
        return Tensors(str(schema["inputs"][0]["name"]), str(embeddings[0]["name"]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RefusedError(
            f"{path} does not describe a graph (schema: inputs and outputs with names, one of them the "
            "embeddings): fetch it again, or move it away"
        ) from error


def _about(output: dict[str, Any]) -> str:
    return f"{output.get('output_purpose', '')} {output.get('description', '')}".lower()


def _reason(error: RuntimeError) -> str:
    """The first line of essentia's message without the names of its algorithms."""
    return str(error).partition("\n")[0].rpartition("TensorflowPredict: ")[2].rstrip(". ")


def _essentia() -> Any:
    """Essentia, with TensorFlow's messages and its own switched off before they are written."""
    import torch

    # TensorFlow reads both while it is loaded.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(torch.get_num_threads()))
    try:
        import essentia
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"teacher 'discogs' needs the Python package {error.name!r}: pip install 'east-audio[discogs]'"
        ) from error
    essentia.log.infoActive = essentia.log.warningActive = False
    import essentia.standard

    return essentia
