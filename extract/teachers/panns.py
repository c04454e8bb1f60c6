"""PANNs (Kong et al., TASLP 2020): the network Cnn14, through the panns-inference package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from east.common.errors import RefusedError
from east.extract.teacher import Parameters, PublishedFile, PublishedWeights, TeacherInfo, Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

RATE = 32_000  # Hz
_CLASSES = 527


class Panns:
    """Cnn14 trained on AudioSet; the embedding is the layer before its classifier."""

    info: ClassVar[TeacherInfo] = TeacherInfo(
        name="panns",
        sample_rate=RATE,
        feature=2048,
        min_samples=31 * 320,  # 32 frames: one is left after five poolings
        windows="the whole clip",
        supervision="supervised",
        packages=("panns-inference", "torchlibrosa", "torch", "soxr", "soundfile"),
        licences={"code": "MIT", "weights": "CC-BY-4.0"},
        citation="Kong, Cao, Iqbal, Wang, Wang and Plumbley, PANNs: Large-Scale Pretrained Audio Neural "
        "Networks for Audio Pattern Recognition, IEEE/ACM TASLP 28, 2020",
        weights=PublishedWeights(
            (
                PublishedFile(
                    filename="Cnn14_mAP=0.431.pth",
                    source="https://zenodo.org/record/3987831/files/Cnn14_mAP%3D0.431.pth",
                    digest="md5:541141fa2ee191a88f24a3219fff024e",
                ),
            ),
            third_party=True,
        ),
        parameters=Parameters(trainable=80_753_615, total=81_837_071, without_heads=79_673_792),
    )

    def __init__(self, network: Any, device: torch.device) -> None:
        from torch import nn

        self.device = device
        self.network = network.eval().to(device)
        # The front end is taken out, so that the network's own `forward` starts at the log-mel spectrogram.
        self.front_end = nn.Sequential(network.spectrogram_extractor, network.logmel_extractor)
        network.spectrogram_extractor, network.logmel_extractor = nn.Identity(), nn.Identity()

    @classmethod
    def load(cls, weights: Weights, device: torch.device) -> Self:
        """See `Teacher.load`."""
        import torch

        from east.extract.checkpoints import fill, load_checkpoint

        path, name = weights.path, cls.info.name
        checkpoint = {} if path is None else load_checkpoint(path, name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = cnn14()
        if path is not None:
            fill(network, checkpoint.get("model", {}), path, name)
        return cls(network, device)

    def windows(self, audio: Tensor) -> Tensor:
        """(samples,) -> (1, 1, T, 64): the log-mel spectrogram of the clip."""
        log_mel: Tensor = self.front_end(audio[None])
        return log_mel

    def embed(self, windows: Tensor) -> Tensor:
        """(n, 1, T, 64) -> (n, 2048)."""
        embedding: Tensor = self.network(windows)["embedding"]
        return embedding


def cnn14() -> Any:
    """The package's own network, with random weights.

    Importing panns_inference itself would run wget and write into the home folder (its config.py fetches the
    list of classes), and its models.py imports matplotlib, which it does not use. So the network's module
    alone is imported.

    Raises:
        RefusedError: The package is not installed.
    """
    from importlib import import_module

    from east.extract.stand_ins import bare, empty, stand_ins

    try:
        with stand_ins(bare("panns_inference"), empty("matplotlib"), empty("matplotlib.pyplot")):
            models = import_module("panns_inference.models")
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"teacher 'panns' needs the Python package {error.name!r}: pip install 'east-audio[panns]'"
        ) from error
    return models.Cnn14(
        sample_rate=RATE,
        window_size=1024,
        hop_size=320,
        mel_bins=64,
        fmin=50,
        fmax=14000,
        classes_num=_CLASSES,
    )
