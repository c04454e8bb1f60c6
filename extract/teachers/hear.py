"""Any package with the interface of HEAR 2021 (Turian et al., Holistic Evaluation of Audio Representations).

`hear:MODULE` makes one frame of a clip, its scene embedding; `hear:MODULE:timestamps` keeps the timestamp
embeddings as frames. See https://hearbenchmark.com/hear-api.html.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import packages_distributions
from types import ModuleType
from typing import TYPE_CHECKING, Any

from east.common.errors import RefusedError
from east.extract.teacher import PublishedWeights, TeacherInfo, Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_TIMESTAMPS = "timestamps"


@dataclass(frozen=True)
class HearModule:
    """A HEAR module that is not loaded yet.

    Args:
        argument: "MODULE" or "MODULE:timestamps".
    """

    argument: str

    @property
    def info(self) -> TeacherInfo:
        """What the name tells; rate and feature are known after loading."""
        module, timestamps = self._parts()
        top = module.partition(".")[0]
        return TeacherInfo(
            name=f"hear-{self.argument.replace(':', '-')}",
            sample_rate=0,
            feature=0,
            min_samples=1,
            windows="HEAR timestamp embeddings" if timestamps else "HEAR scene embedding",
            supervision="unknown",
            packages=(packages_distributions().get(top, [top])[0], "torch", "soxr", "soundfile"),
            licences={"code": "see the package", "weights": "see the package"},
            citation=f"the Python module {module}",
            weights=PublishedWeights(),
        )

    def load(self, weights: Weights, device: torch.device) -> Hear:
        """See `TeacherClass.load`."""
        import torch

        name, timestamps = self._parts()
        if weights.source == "random":
            raise RefusedError(f"hear:{self.argument} has no random weights: leave --weights out")
        try:
            module = import_module(name)
        except ModuleNotFoundError as error:
            raise RefusedError(f"hear:{self.argument}: {error}; install the package here") from error
        needed = ["load_model", "get_timestamp_embeddings" if timestamps else "get_scene_embeddings"]
        missing = [function for function in needed if not hasattr(module, function)]
        if missing:
            raise RefusedError(f"hear:{self.argument}: the module has no {missing[0]}, so it is not of HEAR")
        model = module.load_model(str(weights.path)) if weights.path else module.load_model()
        if isinstance(model, torch.nn.Module):
            model = model.eval().to(device)
        return Hear(self.info, module, model, device, timestamps)

    def _parts(self) -> tuple[str, bool]:
        module, _, what = self.argument.partition(":")
        if what not in ("", _TIMESTAMPS) or not module:
            raise RefusedError(f"hear:{self.argument}: give hear:MODULE or hear:MODULE:{_TIMESTAMPS}")
        return module, what == _TIMESTAMPS


class Hear:
    """A loaded HEAR module."""

    def __init__(
        self, info: TeacherInfo, module: ModuleType, model: Any, device: torch.device, timestamps: bool
    ) -> None:
        feature = model.timestamp_embedding_size if timestamps else model.scene_embedding_size
        self.info = replace(info, sample_rate=int(model.sample_rate), feature=int(feature))
        self.module = module
        self.model = model
        self.device = device
        self.timestamps = timestamps

    def windows(self, audio: Tensor) -> Tensor:
        """(samples,) -> (1, samples), or the (frames, feature) timestamp embeddings themselves.

        The interface cuts a clip and embeds its frames in one call, so that only scenes can share batches.
        """
        if not self.timestamps:
            return audio[None]
        embeddings, _ = self.module.get_timestamp_embeddings(audio[None], self.model)
        frames: Tensor = embeddings[0].float()
        return frames

    def embed(self, windows: Tensor) -> Tensor:
        """(n, samples) -> (n, feature)."""
        if self.timestamps:
            return windows
        scenes: Tensor = self.module.get_scene_embeddings(windows, self.model)
        return scenes.float()
