"""Harmonic CNN (Won et al., Data-driven Harmonic Filters for Audio Representation Learning, 2020)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from east.common.mel import decibels, power_spectrogram
from east.train.students import StudentInfo

_RATE = 16_000
_N_FFT, _HOP = 512, 256
_HARMONICS = 6
_LOWEST, _HIGHEST = 24, 88  # MIDI notes: C1, and the last whose sixth harmonic is below half the rate, E6
_LEVELS_PER_SEMITONE = 2
_LEVELS = (_HIGHEST - _LOWEST) * _LEVELS_PER_SEMITONE  # 128
_ALPHA, _BETA = 0.1079, 24.7  # Hz; the equivalent rectangular bandwidth of Glasberg and Moore (1990)


class HarmonicCNN(nn.Module):
    """Harmonic filters stacked as channels, then seven convolutional blocks and a global max over time.

    Five blocks are residual; the first and the fifth change the number of channels and are not. This is the
    network of the authors' https://github.com/minzwon/sota-music-tagging-models, and has the size that Ding
    & Lerch (2024) report: 3.63 million parameters at 128 channels and 50 classes.

    Args:
        n_classes: Number of logits.
        channels: Width of the first block; the last one has twice as many, the feature.
    """

    info: ClassVar[StudentInfo] = StudentInfo(
        name="hcnn",
        window=80_000,  # 5 s
        citation="Won, Chun, Nieto and Serra, Data-driven harmonic filters for audio representation "
        "learning, ICASSP 2020",
    )

    def __init__(self, n_classes: int, channels: int = 128) -> None:
        super().__init__()
        c = channels
        self.feature = 2 * c
        self.filters = HarmonicFilters()
        self.norm = nn.BatchNorm2d(_HARMONICS)
        self.blocks = nn.Sequential(  # 128 levels x 313 frames
            Convolution(_HARMONICS, c, pool=(2, 2)),
            Residual(c, pool=(2, 2)),
            Residual(c, pool=(2, 2)),
            Residual(c, pool=(2, 2)),
            Convolution(c, 2 * c, pool=(2, 2)),
            Residual(2 * c, pool=(2, 3)),
            Residual(2 * c, pool=(2, 3)),  # 1 x 1
        )
        self.dense1 = nn.Linear(2 * c, 2 * c)
        self.norm1 = nn.BatchNorm1d(2 * c)
        self.dropout = nn.Dropout(0.5)
        self.dense2 = nn.Linear(2 * c, n_classes)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """(B, window) float32 -> feature (B, 2 C), logits (B, class)."""
        # The front end stays in float32 under mixed precision: squared magnitudes overflow in half.
        with torch.autocast(audio.device.type, enabled=False):
            db = decibels(self.filters(audio.float()))  # (B, harmonic, level, T)
        x = self.blocks(self.norm(db))  # (B, 2 C, 1, 1)
        feature = x.amax(dim=(2, 3))  # (B, 2 C)
        hidden = self.dropout(F.relu(self.norm1(self.dense1(feature))))
        return feature, self.dense2(hidden)


class HarmonicFilters(nn.Module):
    """Triangular band-pass filters on a power spectrogram; one trained number, Q, sets all their widths.

    Filter (n, k) has its centre at n f_k and the bandwidth (alpha n f_k + beta) / Q (section 2 of the paper).
    The f_k are half semitones from C1 upwards. At Q = 1 one of the 768 filters lies between two bins of the
    spectrogram and answers with nothing, as the authors' does.
    """

    centres: Tensor
    bins: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.ones(1))
        notes = _LOWEST + torch.arange(_LEVELS, dtype=torch.float64) / _LEVELS_PER_SEMITONE
        fundamentals = 440 * 2 ** ((notes - 69) / 12)  # (level,) in Hz
        centres = torch.arange(1, _HARMONICS + 1)[:, None] * fundamentals  # (harmonic, level)
        # Derived from constants, so not part of any checkpoint.
        self.register_buffer("centres", centres.float(), persistent=False)
        self.register_buffer("bins", torch.linspace(0, _RATE / 2, _N_FFT // 2 + 1), persistent=False)
        self.register_buffer("window", torch.hann_window(_N_FFT), persistent=False)

    def bank(self) -> Tensor:
        """The filters as they are now, (harmonic, level, bin)."""
        bandwidth = (_ALPHA * self.centres + _BETA) / self.q
        distance = (self.bins - self.centres[..., None]).abs()  # (harmonic, level, bin)
        return F.relu(1 - 2 * distance / bandwidth[..., None])

    def forward(self, audio: Tensor) -> Tensor:
        """(B, samples) float32 -> power (B, harmonic, level, T)."""
        power = power_spectrogram(audio, self.window, _HOP)  # (B, bin, T)
        bands = self.bank().flatten(0, 1) @ power  # (B, harmonic * level, T)
        return bands.reshape(audio.shape[0], _HARMONICS, _LEVELS, -1)


class Convolution(nn.Module):
    """A 3x3 convolution and a max pool."""

    def __init__(self, n_in: int, n_out: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.norm = nn.BatchNorm2d(n_out)
        self.pool = nn.MaxPool2d(pool)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H // pool, W // pool)."""
        y: Tensor = self.pool(F.relu(self.norm(self.conv(x))))
        return y


class Residual(nn.Module):
    """Two 3x3 convolutions beside an identity, and a max pool."""

    def __init__(self, n: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n, n, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(n)
        self.conv2 = nn.Conv2d(n, n, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(n)
        self.pool = nn.MaxPool2d(pool)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, H, W) -> (B, n, H // pool, W // pool)."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        pooled: Tensor = self.pool(F.relu(x + y))
        return pooled
