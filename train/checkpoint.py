"""`last.ckpt`: everything a run needs to go on after its last whole epoch.

A run resumes at the beginning of the epoch in which it was stopped. Order, crops and dropout of an epoch
follow from the seed and the epoch's number, so no random state needs saving.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from east.common.errors import RefusedError

LAST = "last.ckpt"


@dataclass
class Progress:
    """Where training stands after an epoch.

    Attributes:
        epoch: Epochs done.
        lowest_loss: Lowest valid loss so far.
        best_metric: Best valid metric so far.
        waited: Epochs since the lowest loss.
    """

    epoch: int = 0
    lowest_loss: float = math.inf
    best_metric: float = -math.inf
    waited: int = 0


def save_checkpoint(
    folder: Path,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: ReduceLROnPlateau,
) -> None:
    """Write `last.ckpt`, whole or not at all."""
    state = {
        "progress": vars(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
    }
    content = io.BytesIO()  # torch.save to a file turns a full disk into a RuntimeError of many lines
    torch.save(state, content)
    replace_file(folder / LAST, content.getvalue())


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: ReduceLROnPlateau
) -> Progress:
    """Put everything back as it was; a folder without a checkpoint starts from the beginning.

    Raises:
        RefusedError: The checkpoint cannot be read.
    """
    path = folder / LAST
    if not path.is_file():
        return Progress()
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RefusedError(f"{path} cannot be read ({error}): leave --resume out to start over") from error
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    return Progress(**state["progress"])


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write tensors as safetensors, whole or not at all."""
    from safetensors.torch import save

    replace_file(path, save(weights))


def replace_file(path: Path, content: bytes) -> None:
    """Write under another name, then rename: a file is there whole or not at all.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
