"""A student's probabilities for whole clips: the mean over evenly spaced windows."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from east.common.reading import Rows
from east.train.crops import CropReader, as_float, window_keys
from east.train.guided import GuidedStudent
from east.train.metrics import Probabilities


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


@torch.inference_mode()
def score_clips(
    model: GuidedStudent, reader: CropReader, clips: Clips, rows: Rows, device: torch.device
) -> Probabilities:
    """Probabilities of these clips, (len(rows), class) float32."""
    model.eval()
    sums = np.zeros((len(rows), len(clips.classes)), dtype=np.float64)
    counts = np.zeros(len(rows), dtype=np.int64)
    place = {row: number for number, row in enumerate(rows.tolist())}
    for batch_rows, crops in reader.windows(window_keys(clips.lengths, rows, reader.window)):
        logits = model(as_float(crops.to(device, non_blocking=True))).logits
        batch = probabilities_of(logits.float(), clips.task).cpu().numpy()
        places = np.array([place[row] for row in batch_rows.tolist()])
        np.add.at(sums, places, batch)
        np.add.at(counts, places, 1)
    return (sums / counts[:, None]).astype(np.float32)
