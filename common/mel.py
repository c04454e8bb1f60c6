"""Mel spectrograms in PyTorch, for teachers and students alike.

torchaudio would serve, but its wheels in the package registry are linked against CUDA: beside a CPU-only
PyTorch `import torchaudio` fails on libc10_cuda.so, and that package is in its maintenance phase.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Scale = Literal["htk", "slaney"]

_POWER_FLOOR = 1e-10

_SLANEY_KNEE = 1000.0  # Hz; linear below, logarithmic above
_SLANEY_STEP = 200.0 / 3  # Hz per mel below the knee
_SLANEY_LOG = np.log(6.4) / 27  # per mel above it


class MelSpectrogram(nn.Module):
    """Power mel spectrogram: (..., samples) float32 -> (..., n_mels, frames), frames = 1 + samples // hop.

    The frames are centred, the signal is padded by reflection, the window is Hann.

    Args:
        rate: Sample rate in Hz.
        n_fft: Window length in samples.
        hop: Samples between frames.
        n_mels: Number of bands, from 0 Hz to half the rate.
        scale: "htk" with triangles of height one (as torchaudio's default), or "slaney" with triangles of
            area one (as librosa's default).
    """

    window: Tensor
    filters: Tensor

    def __init__(self, rate: int, n_fft: int, hop: int, n_mels: int, scale: Scale) -> None:
        super().__init__()
        self.hop = hop
        # Derived from the arguments, so not part of any checkpoint.
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        filters = torch.from_numpy(mel_filters(rate, n_fft, n_mels, scale))
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """(..., samples) float32 -> (..., n_mels, frames) float32."""
        power = power_spectrogram(audio.reshape(-1, audio.shape[-1]), self.window, self.hop)
        mel = self.filters @ power  # (n_mels, bins) @ (B, bins, T) -> (B, n_mels, T)
        return mel.reshape(*audio.shape[:-1], *mel.shape[-2:])


def power_spectrogram(audio: Tensor, window: Tensor, hop: int) -> Tensor:
    """Squared magnitudes, (B, samples) float32 -> (B, n_fft // 2 + 1, 1 + samples // hop).

    The frames are centred, the signal is padded by reflection.

    Args:
        audio: Signals.
        window: Of length n_fft.
        hop: Samples between frames.
    """
    spectrum = torch.stft(audio, len(window), hop, window=window, pad_mode="reflect", return_complex=True)
    return spectrum.real.square() + spectrum.imag.square()


def decibels(power: Tensor) -> Tensor:
    """Power in dB, flat below -100 dB."""
    return 10 * power.clamp(min=_POWER_FLOOR).log10()


def mel_filters(rate: int, n_fft: int, n_mels: int, scale: Scale) -> npt.NDArray[np.float32]:
    """Triangular mel filters, (n_mels, n_fft // 2 + 1) float32.

    O'Shaughnessy's mel ("htk") or that of Slaney's Auditory Toolbox, as librosa and torchaudio define them.
    """
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)
    edges = _to_hz(np.linspace(0, _to_mel(rate / 2, scale), n_mels + 2), scale)  # (n_mels + 2,)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    if scale == "slaney":
        filters *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return np.asarray(filters, dtype=np.float32)


def _to_mel(hz: float, scale: Scale) -> float:
    if scale == "htk":
        return float(2595 * np.log10(1 + hz / 700))
    if hz < _SLANEY_KNEE:
        return hz / _SLANEY_STEP
    return float(_SLANEY_KNEE / _SLANEY_STEP + np.log(hz / _SLANEY_KNEE) / _SLANEY_LOG)


def _to_hz(mel: npt.NDArray[np.float64], scale: Scale) -> npt.NDArray[np.float64]:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    knee = _SLANEY_KNEE / _SLANEY_STEP
    return np.where(mel < knee, mel * _SLANEY_STEP, _SLANEY_KNEE * np.exp(_SLANEY_LOG * (mel - knee)))
