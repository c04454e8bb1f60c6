"""Short-chunk CNN with residual connections (Won et al., Evaluation of CNN-based music tagging, 2020)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from east.common.mel import MelSpectrogram, decibels
from east.train.students import StudentInfo


class ShortChunkCNN(nn.Module):
    """Seven residual blocks of stride 2 over a mel spectrogram, then a global max over time.

    The shortcuts are 1x1 convolutions, which gives the size that Ding & Lerch (2024) report: 9.09 million
    parameters at 128 channels and 50 classes.

    Args:
        n_classes: Number of logits.
        channels: Width of the first block; the last one has four times as many, the feature.
    """

    info: ClassVar[StudentInfo] = StudentInfo(
        name="sc-cnn",
        window=59_049,  # 3.69 s
        citation="Won, Ferraro, Bogdanov and Serra, Evaluation of CNN-based automatic music tagging models, "
        "SMC 2020",
    )

    def __init__(self, n_classes: int, channels: int = 128) -> None:
        super().__init__()
        c = channels
        self.feature = 4 * c
        self.mel = MelSpectrogram(rate=16_000, n_fft=512, hop=256, n_mels=128, scale="htk")
        self.norm = nn.BatchNorm2d(1)
        widths = [1, c, c, 2 * c, 2 * c, 2 * c, 2 * c, 4 * c]
        self.blocks = nn.Sequential(*map(Residual, widths[:-1], widths[1:]))
        self.dense1 = nn.Linear(4 * c, 4 * c)
        self.norm1 = nn.BatchNorm1d(4 * c)
        self.dropout = nn.Dropout(0.5)
        self.dense2 = nn.Linear(4 * c, n_classes)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """(B, window) float32 -> feature (B, 4 C), logits (B, class)."""
        # The front end stays in float32 under mixed precision: squared magnitudes overflow in half.
        with torch.autocast(audio.device.type, enabled=False):
            db = decibels(self.mel(audio.float()))  # (B, 128, T)
        x = self.blocks(self.norm(db.unsqueeze(1)))  # (B, 4 C, 1, T / 128)
        feature = x.amax(dim=(2, 3))  # (B, 4 C)
        hidden = self.dropout(F.relu(self.norm1(self.dense1(feature))))
        return feature, self.dense2(hidden)


class Residual(nn.Module):
    """Two 3x3 convolutions, the first of stride 2, and a 1x1 shortcut."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=2, padding=1)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride=2)
        self.norm3 = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, ceil(H / 2), ceil(W / 2))."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.norm3(self.shortcut(x)))
