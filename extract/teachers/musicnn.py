"""musicnn (Pons & Serra, ISMIR-LBD 2019): a small music tagger whose weights travel in its own wheel."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from east.common.errors import RefusedError
from east.extract.teacher import Parameters, PublishedFile, PublishedWeights, TeacherInfo, Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from east.extract.teachers.musicnn_network import MusicnnNetwork

PATCH = 187  # frames, 3 s
PATCH_HOP = 62  # frames, 1 s
HOP = 256  # samples
# The checkpoint's name inside the wheel; a wheel and the bare checkpoint are both accepted.
_MEMBER = "musicnn/MSD_musicnn/.data-00000-of-00001"


class Musicnn:
    """The Million Song Dataset model; the embedding is its two temporal poolings, max then mean.

    The original computes the spectrogram in float16 before scaling it by 10,000, which overflows on loud
    audio; here it stays float32.
    """

    info: ClassVar[TeacherInfo] = TeacherInfo(
        name="musicnn",
        sample_rate=16_000,
        feature=1506,
        min_samples=(PATCH - 1) * HOP,  # the shortest clip that gives one patch
        windows="log-mel patches of 187 frames every 62, remainder dropped",
        supervision="supervised",
        packages=("east-audio", "torch", "soxr", "soundfile"),
        licences={"code": "ISC", "weights": "ISC"},
        citation="Pons and Serra, musicnn: pre-trained convolutional neural networks for music audio "
        "tagging, ISMIR late-breaking demo, 2019",
        weights=PublishedWeights(
            (
                PublishedFile(
                    filename="musicnn-0.1.0-py3-none-any.whl",
                    source="pip:musicnn==0.1.0",
                    digest="sha256:f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
                ),
            )
        ),
        parameters=Parameters(trainable=787_159, total=787_159, without_heads=472_297),
    )

    def __init__(self, network: MusicnnNetwork, device: torch.device) -> None:
        import torch

        from east.common.mel import MelSpectrogram

        self.device = device
        # Channels last: the convolutions are one and a half times as fast on a CPU.
        self.network = network.eval().to(device)
        torch.nn.utils.convert_conv2d_weight_memory_format(self.network, torch.channels_last)
        self.mel = MelSpectrogram(self.info.sample_rate, 512, HOP, 96, scale="slaney").to(device)

    @classmethod
    def load(cls, weights: Weights, device: torch.device) -> Self:
        """See `Teacher.load`."""
        import torch

        from east.extract.teachers.musicnn_network import MusicnnNetwork, read_checkpoint

        if weights.path is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return cls(MusicnnNetwork(), device)
        network = MusicnnNetwork()
        network.load_checkpoint(read_checkpoint(_checkpoint_bytes(weights.path)))
        return cls(network, device)

    def windows(self, audio: Tensor) -> Tensor:
        """(samples,) -> (frames, 187, 96) log-mel patches."""
        mel = self.mel(audio).T  # (T, 96)
        log_mel: Tensor = (mel * 10_000 + 1).log10()
        patches = log_mel.unfold(0, PATCH, PATCH_HOP)  # (frames, 96, 187)
        return patches.transpose(1, 2)

    def embed(self, windows: Tensor) -> Tensor:
        """(n, 187, 96) -> (n, 1506)."""
        import torch

        pooled = self.network(windows)
        return torch.cat([pooled.max_pool, pooled.mean_pool], dim=1)


def _checkpoint_bytes(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as wheel:
        if _MEMBER not in wheel.namelist():
            raise RefusedError(f"{path} has no {_MEMBER}: give musicnn's wheel or that file out of it")
        return wheel.read(_MEMBER)
