"""A student's probabilities for whole clips: the mean over evenly spaced windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from east.common.reading import Rows
from east.train.crops import CropReader, as_float, window_keys
from east.train.guided import GuidedStudent
from east.train.metrics import Probabilities
from east.train.students import Student


class Clips(Protocol):
    """What scoring needs to know of clips: `TaskData`, or those of another data set."""

    @property
    def task(self) -> str:
        """The student's: "multi-class" or "multi-label"."""
        ...

    @property
    def classes(self) -> list[str]:
        """Of the student's logits."""
        ...

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Stored samples of every clip of the store, (clip,)."""
        ...


def probabilities_of(logits: Tensor, task: str) -> Tensor:
    """(B, class) logits -> (B, class) probabilities: softmax, or a sigmoid per class."""
    return logits.softmax(dim=1) if task == "multi-class" else logits.sigmoid()


class Answer(nn.Module):
    """A student and the link that its task asks for: what is shipped."""

    def __init__(self, student: Student, task: str) -> None:
        super().__init__()
        self.student = student
        self.task = task
        self.eval()

    def forward(self, audio: Tensor) -> Tensor:
        """(B, window) float32 -> probabilities (B, class)."""
        return probabilities_of(self.student(audio)[1], self.task)


@torch.inference_mode()
def score_clips(
    model: GuidedStudent, reader: CropReader, clips: Clips, rows: Rows, device: torch.device
) -> Probabilities:
    """Probabilities of these clips, (len(rows), class) float32."""
    model.eval()

    def answer(crops: Tensor) -> Probabilities:
        logits = model(as_float(crops.to(device, non_blocking=True))).logits
        answered: Probabilities = probabilities_of(logits.float(), clips.task).cpu().numpy()
        return answered

    return mean_over_windows(answer, reader, clips.lengths, rows)


def mean_over_windows(
    answer: Callable[[Tensor], Probabilities],
    reader: CropReader,
    lengths: npt.NDArray[np.int32],
    rows: Rows,
) -> Probabilities:
    """The mean of what is answered for the windows of each clip, (len(rows), class) float32.

    Args:
        answer: (B, window) int16 -> probabilities (B, class).
        reader: Where the windows come from.
        lengths: Stored samples of every clip of the store, (clip,).
        rows: Which clips.
    """
    keys = window_keys(lengths, rows, reader.window)
    scores = np.concatenate([answer(crops) for _, crops in reader.windows(keys)])  # (window, class)
    firsts = np.flatnonzero(np.diff(keys[:, 0], prepend=-1))  # the first window of every clip
    counts = np.diff(firsts, append=len(keys))
    return (np.add.reduceat(scores, firsts, dtype=np.float64) / counts[:, None]).astype(np.float32)
