"""PaSST (Koutini et al., Interspeech 2022), a spectrogram transformer, through the hear21passt package."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, ClassVar, Self

from east.common.errors import RefusedError
from east.extract.teacher import Parameters, PublishedFile, PublishedWeights, TeacherInfo, Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

RATE = 32_000  # Hz
WINDOW = 10 * RATE  # samples: the longest clip that the transformer has time encodings for
HOP = 5 * RATE // 2
PAD = WINDOW // 2
_MEL = {
    "n_mels": 128,
    "sr": RATE,
    "win_length": 800,
    "hopsize": 320,
    "n_fft": 1024,
    "freqm": 0,  # masking, for training only
    "timem": 0,
    "fmin_aug_range": 10,
    "fmax_aug_range": 2000,
}


class Passt:
    """PaSST-S trained on AudioSet; the embedding is the mean of its two class tokens."""

    info: ClassVar[TeacherInfo] = TeacherInfo(
        name="passt",
        sample_rate=RATE,
        feature=768,
        min_samples=15 * 320 + 1,  # 16 frames: one patch
        windows="up to 10 s the clip itself; else 10 s windows every 2.5 s of the clip reflect-padded by 5 s",
        supervision="supervised",
        packages=("hear21passt", "torch", "soxr", "soundfile"),
        licences={"code": "Apache-2.0", "weights": "Apache-2.0"},
        citation="Koutini, Schlüter, Eghbal-zadeh and Widmer, Efficient Training of Audio Transformers with "
        "Patchout, Interspeech 2022",
        weights=PublishedWeights(
            (
                PublishedFile(
                    filename="passt-s-f128-p16-s10-ap.476-swa.pt",
                    source="https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/"
                    "passt-s-f128-p16-s10-ap.476-swa.pt",
                    digest="sha256:302903fa8c4aee817b11dc982da0b29aaf8d11a3e722420476d0a12c9db70c2c",
                ),
            ),
            third_party=True,
        ),
        parameters=Parameters(trainable=86_153_758, total=86_153_758, without_heads=85_341_696),
    )

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.device = device
        self.network = network.eval().to(device)
        self.mel = _front_end().eval().to(device)

    @classmethod
    def load(cls, weights: Weights, device: torch.device) -> Self:
        """See `Teacher.load`."""
        import torch

        from east.extract.checkpoints import fill, load_checkpoint

        path, name = weights.path, cls.info.name
        state = {} if path is None else load_checkpoint(path, name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = _network()
        if path is not None:
            fill(network, state, path, name)
        return cls(network, device)

    def windows(self, audio: Tensor) -> Tensor:
        """(samples,) -> (frames, 1, 128, T) log-mel spectrograms."""
        import torch
        from torch.nn import functional as F

        segments = audio[None]  # (1, samples)
        if len(audio) > WINDOW:
            padded = F.pad(segments[None], (PAD, PAD), mode="reflect")[0, 0]
            segments = padded.unfold(0, WINDOW, HOP)  # (frames, WINDOW)
        # The front end draws its augmentation in evaluation too, and then leaves it out.
        with torch.random.fork_rng(devices=[]), _no_warnings():
            mel: Tensor = self.mel(segments)
        return mel.unsqueeze(1)

    def embed(self, windows: Tensor) -> Tensor:
        """(n, 1, 128, T) -> (n, 768)."""
        with _no_warnings():
            embeddings: Tensor = self.network(windows)[1]
        return embeddings


@contextmanager
def _no_warnings() -> Iterator[None]:
    """The package calls PyTorch in two old ways, and remarks on every clip that is not ten seconds long."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _network() -> nn.Module:
    with redirect_stdout(io.StringIO()):  # it prints its whole structure
        network: nn.Module = _package("passt").get_model(arch="passt_s_swa_p16_128_ap476", pretrained=False)
    return network


def _front_end() -> nn.Module:
    with redirect_stdout(io.StringIO()):
        front_end: nn.Module = _package("preprocess").AugmentMelSTFT(**_MEL)
    return front_end


def _package(module: str) -> Any:
    """`hear21passt.models.MODULE`, quiet and without the packages that it imports but does not need.

    From torchaudio it takes one pure Python file, `compliance.kaldi`; importing torchaudio itself fails where
    its compiled part was built for another PyTorch than is installed. From timm it takes the name of a
    function for .npz checkpoints; importing timm imports torchvision, of which the same is true.
    """
    from importlib import import_module

    from east.extract.stand_ins import bare, empty, stand_ins

    timm = empty("timm"), empty("timm.models"), empty("timm.models._hub", "download_cached_file")
    try:
        with stand_ins(bare("torchaudio"), *timm):
            import_module("torchaudio.compliance.kaldi")
            imported: Any = import_module(f"hear21passt.models.{module}")
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"teacher 'passt' needs the Python package {error.name!r}: pip install 'east-audio[passt]'"
        ) from error
    if module == "passt":
        imported.first_RUN = False  # else the first forward pass prints its shapes
    return imported
