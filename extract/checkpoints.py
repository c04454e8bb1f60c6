"""Reading checkpoints from elsewhere: never running code in them, and saying clearly what does not fit."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from east.common.errors import RefusedError


def load_checkpoint(path: Path, name: str) -> dict[str, Any]:
    """Read a file written by `torch.save` that holds a dictionary of tensors, numbers and NumPy arrays.

    Raises:
        RefusedError: It is none, or holds anything else, such as code.
    """
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise RefusedError(_not_a_checkpoint(path, name)) from error
    if not isinstance(loaded, dict):
        raise RefusedError(_not_a_checkpoint(path, name))
    return loaded


def load_safetensors(path: Path, name: str) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        RefusedError: It is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise RefusedError(_not_a_checkpoint(path, name)) from error


def fill(network: nn.Module, state: Mapping[str, Any], path: Path, name: str) -> None:
    """Load a state into a network; every tensor must be there, with its shape, and no other.

    Raises:
        RefusedError: The state is another network's.
    """
    own = network.state_dict()
    missing = sorted(set(own) - set(state))
    strange = sorted(set(state) - set(own))
    shared = sorted(set(own) & set(state))
    unequal = [
        key for key in shared if not isinstance(state[key], Tensor) or state[key].shape != own[key].shape
    ]
    if missing or strange or unequal:
        example = (missing + unequal + strange)[0]
        raise RefusedError(
            f"{path} is not a checkpoint of {name}: {len(missing)} tensors are missing, {len(strange)} are "
            f"unknown, {len(unequal)} have another shape (as {example}); give --weights {name}=PATH of one"
        )
    network.load_state_dict(dict(state))


def _not_a_checkpoint(path: Path, name: str) -> str:
    return (
        f"{path} is no checkpoint of {name}: it is damaged, of another format, or holds more than tensors; "
        f"fetch it again, or give --weights {name}=PATH"
    )


def _numpy_globals() -> list[Any]:
    """What NumPy arrays and numbers are pickled as; some checkpoints keep their sampler's state in them."""
    from numpy._core import multiarray

    dtypes = [getattr(np.dtypes, kind) for kind in np.dtypes.__all__ if kind.endswith("DType")]
    old = [
        (getattr(multiarray, function), f"numpy.core.multiarray.{function}")  # its name before NumPy 2
        for function in ("_reconstruct", "scalar")
    ]
    new = [multiarray._reconstruct, multiarray.scalar]
    return [*new, *old, np.ndarray, np.dtype, *dtypes]
