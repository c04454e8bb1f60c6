"""Where a network computes."""

from __future__ import annotations

import torch

from east.common.errors import RefusedError


def resolve_device(device: str) -> torch.device:
    """The device of that name; "auto" is the first CUDA device where there is one.

    Raises:
        RefusedError: This machine has no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    found = torch.device(device)
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise RefusedError(f"--device {device}: PyTorch sees {torch.cuda.device_count()} CUDA device(s) here")
    return found
