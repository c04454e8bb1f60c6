"""MULE (McCallum et al., ISMIR 2022): SF-NFNet-F0, through its PyTorch port mule-torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from east.common.errors import RefusedError
from east.extract.teacher import Parameters, PublishedFile, PublishedWeights, TeacherInfo, Weights

if TYPE_CHECKING:
    import torch
    from mule_torch import MuleModel
    from torch import Tensor

RATE = 16_000  # Hz
_FFT = 2048  # samples
_ADDRESS = "https://huggingface.co/matteospanio/mule/resolve/main"


class Mule:
    """MULE, trained contrastively on Musicset; one embedding per 3 s slice."""

    info: ClassVar[TeacherInfo] = TeacherInfo(
        name="mule",
        sample_rate=RATE,
        feature=1728,
        min_samples=_FFT // 2 + 1,  # what its reflection padding needs
        windows="3 s slices of the log-mel spectrogram every 2 s, each normalised; shorter clips reflected",
        supervision="contrastive",
        packages=("mule-torch", "torch", "soxr", "soundfile"),
        licences={"code": "GPL-3.0-only", "weights": "CC-BY-NC-4.0"},
        citation="McCallum, Korzeniowski, Oramas, Gouyon and Ehmann, Supervised and Unsupervised Learning of "
        "Audio Representations for Music Understanding, ISMIR 2022",
        weights=PublishedWeights(
            (
                PublishedFile(filename="model.safetensors", source=f"{_ADDRESS}/model.safetensors"),
                PublishedFile(filename="config.json", source=f"{_ADDRESS}/config.json"),
            )
        ),
        parameters=Parameters(trainable=62_345_742, total=62_345_742, without_heads=62_345_742),
        remark="The original's own reader scales 16-bit samples by 1/65536; here they are in [-1, 1], as the "
        "port documents, and its log compression is not linear.",
    )

    def __init__(self, model: MuleModel, device: torch.device) -> None:
        self.device = device
        self.model = model.eval().to(device)

    @classmethod
    def load(cls, weights: Weights, device: torch.device) -> Self:
        """See `Teacher.load`."""
        import torch

        if weights.path is not None:
            return cls(_read(weights.path), device)
        try:
            from mule_torch import MuleConfig, MuleModel
        except ModuleNotFoundError as error:
            raise RefusedError(_install(error)) from error
        config = MuleConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = MuleModel(config, mel_fb=_filters())
            for name, parameter in model.named_parameters():
                if name.endswith("skip_gain"):  # zero at first, which would leave the residual paths out
                    torch.nn.init.constant_(parameter, 0.5)
        return cls(model, device)

    def windows(self, audio: Tensor) -> Tensor:
        """(samples,) -> (frames, 1, 96, 300): normalised slices of the log-mel spectrogram."""
        from mule_torch.frontend import slice_mel

        mel = self.model.frontend(audio[None])[0]  # (96, T)
        slices: Tensor = slice_mel(mel, self.model.config)
        return slices

    def embed(self, windows: Tensor) -> Tensor:
        """(n, 1, 96, 300) -> (n, 1728)."""
        embeddings: Tensor = self.model.backbone(windows)
        return embeddings


def _read(folder: Path) -> MuleModel:
    """The model in a folder of config.json and model.safetensors."""
    from east.extract.checkpoints import fill, load_safetensors

    try:
        from mule_torch import MuleConfig, MuleModel
    except ModuleNotFoundError as error:
        raise RefusedError(_install(error)) from error
    name = Mule.info.name
    path = folder / "model.safetensors"
    try:
        config = MuleConfig.from_dict(json.loads((folder / "config.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise RefusedError(f"{folder} has no config.json of {name}: give --weights {name}=FOLDER") from error
    state = load_safetensors(path, name)
    if "frontend.mel_fb" not in state:
        raise RefusedError(f"{path} is not a checkpoint of {name}: it has no frontend.mel_fb")
    model = MuleModel(config, mel_fb=state["frontend.mel_fb"])
    # The kernels of the Fourier transform are computed, and older files leave them out.
    computed = {key: value for key, value in model.state_dict().items() if key.startswith("frontend.stft.")}
    fill(model, {**computed, **state}, path, name)
    return model


def _filters() -> Tensor:
    """The mel filters of librosa with norm=2: triangles on the HTK scale, each of Euclidean length one."""
    import torch

    from east.common.mel import mel_filters

    return torch.nn.functional.normalize(torch.from_numpy(mel_filters(RATE, _FFT, 96, "htk")), dim=1)


def _install(error: ModuleNotFoundError) -> str:
    return f"teacher 'mule' needs the Python package {error.name!r}: pip install 'east-audio[mule]'"
