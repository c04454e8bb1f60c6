"""musicnn's network, ported to PyTorch, and the reading of its TensorFlow checkpoint without TensorFlow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from east.common.errors import RefusedError

Tensors = dict[str, npt.NDArray[np.float32]]

_BN_EPSILON = 1e-3  # TensorFlow's default


class Outputs(NamedTuple):
    """What the original answers for a batch of n patches."""

    max_pool: Tensor  # (n, 753)
    mean_pool: Tensor  # (n, 753)
    penultimate: Tensor  # (n, 200)
    logits: Tensor  # (n, 50)


class MusicnnNetwork(nn.Module):
    """`build_musicnn` of the original: musically motivated front end, dense mid end, temporal pooling.

    Convolutions come before their activation, and batch normalisation after it, as in the original.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm_in = nn.BatchNorm2d(1, eps=_BN_EPSILON)
        timbral = [_Front(204, (7, bands)) for bands in (38, 67)]
        temporal = [_Front(51, (frames, 1)) for frames in (128, 64, 32)]
        self.front = nn.ModuleList([*timbral, *temporal])
        self.mid = nn.ModuleList([_Mid(width) for width in (561, 64, 64)])
        self.norm_pool = nn.BatchNorm1d(1506, eps=_BN_EPSILON)
        self.dense = nn.Linear(1506, 200)
        self.norm_dense = nn.BatchNorm1d(200, eps=_BN_EPSILON)
        self.logits = nn.Linear(200, 50)

    def forward(self, patches: Tensor) -> Outputs:
        """(n, 187, 96) log-mel patches -> poolings, penultimate and logits."""
        x = self.norm_in(patches.unsqueeze(1))  # (n, 1, T, 96)
        front = torch.cat([block(x) for block in self.front], dim=1)  # (n, 561, T)
        first = self.mid[0](front)  # (n, 64, T)
        second = self.mid[1](first) + first
        third = self.mid[2](second) + second
        features = torch.cat([front, first, second, third], dim=1)  # (n, 753, T)
        max_pool, mean_pool = features.amax(dim=2), features.mean(dim=2)
        # The dense layer sees max and mean interleaved per feature: max0, mean0, max1, mean1, ...
        pooled = torch.stack([max_pool, mean_pool], dim=2).flatten(1)  # (n, 1506)
        penultimate = self.norm_dense(F.relu(self.dense(self.norm_pool(pooled))))
        return Outputs(max_pool, mean_pool, penultimate, self.logits(penultimate))

    def load_checkpoint(self, tensors: Tensors) -> None:
        """Fill the network from the checkpoint's tensors."""
        blocks: list[_Front | _Mid] = [*self.front, *self.mid]
        norms = [self.norm_in, *(block.norm for block in blocks), self.norm_pool, self.norm_dense]
        with torch.no_grad():
            for number, norm in enumerate(norms):
                name = _numbered("batch_normalization", number)
                for ours, theirs in _NORM_NAMES.items():
                    getattr(norm, ours).copy_(torch.from_numpy(tensors[f"{name}/{theirs}"]))
            for number, conv in enumerate(block.conv for block in blocks):
                name = _numbered("conv2d", number)
                _fill(conv, tensors, name, torch.from_numpy(tensors[f"{name}/kernel"]).permute(3, 2, 0, 1))
            for number, dense in enumerate((self.dense, self.logits)):
                name = _numbered("dense", number)
                _fill(dense, tensors, name, torch.from_numpy(tensors[f"{name}/kernel"]).T)


class _Front(nn.Module):
    """Convolution over time and bands, then the strongest band: (n, 1, T, bands) -> (n, filters, T)."""

    def __init__(self, filters: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, kernel)
        self.norm = nn.BatchNorm2d(filters, eps=_BN_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, *_same(self.conv.kernel_size[0])))
        activation: Tensor = self.norm(F.relu_(self.conv(x)))
        # As amax(dim=3), but quicker on channels-last maps.
        return F.max_pool2d(activation, (1, activation.shape[3])).squeeze(3)


class _Mid(nn.Module):
    """Convolution over time, all features at once: (n, width, T) -> (n, 64, T)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 64, (7, width))
        self.norm = nn.BatchNorm2d(64, eps=_BN_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (3, 3)).transpose(1, 2).unsqueeze(1)  # (n, 1, T + 6, width)
        activation: Tensor = self.norm(F.relu_(self.conv(x)))  # (n, 64, T, 1)
        return activation.squeeze(3)


def read_checkpoint(data: bytes) -> Tensors:
    """Read MSD_musicnn's checkpoint: little-endian float32 tensors in sorted name order.

    Every trained tensor is followed by its two Adam slots, which are skipped; moving averages have none.

    Raises:
        RefusedError: The length is not that of this network.
    """
    return read_tensors(data, checkpoint_shapes())


def read_tensors(data: bytes, shapes: dict[str, tuple[int, ...]]) -> Tensors:
    """Cut `data` into tensors of these shapes, stored one after another in sorted name order.

    Raises:
        RefusedError: The length does not fit the shapes.
    """
    expected = 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    if len(data) != expected:
        raise RefusedError(
            f"not the checkpoint of MSD_musicnn: {len(data)} bytes instead of {expected}; give musicnn's "
            "wheel (musicnn-0.1.0-py3-none-any.whl) or musicnn/MSD_musicnn/.data-00000-of-00001 out of it"
        )
    values = np.frombuffer(data, dtype="<f4").astype(np.float32)
    tensors: Tensors = {}
    start = 0
    for name in sorted(shapes):
        size = int(np.prod(shapes[name]))
        tensors[name] = values[start : start + size].reshape(shapes[name])
        start += size
    return tensors


def checkpoint_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of everything in the checkpoint, optimiser state included."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number, width in enumerate((1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)):
        name = _numbered("batch_normalization", number)
        shapes |= {f"{name}/{theirs}": (width,) for theirs in _NORM_NAMES.values()}
    for number, kernel in enumerate(_KERNELS):
        name = _numbered("conv2d", number)
        shapes |= {f"{name}/kernel": kernel, f"{name}/bias": kernel[-1:]}
    for number, (width, out) in enumerate(((1506, 200), (200, 50))):
        name = _numbered("dense", number)
        shapes |= {f"{name}/kernel": (width, out), f"{name}/bias": (out,)}
    trained = {name: shape for name, shape in shapes.items() if "/moving_" not in name}
    adam = {f"{name}/{slot}": shape for name, shape in trained.items() for slot in ("Adam", "Adam_1")}
    return {**shapes, **adam, "beta1_power": (), "beta2_power": ()}


_NORM_NAMES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_KERNELS = (  # (frames, bands, in, out), in the order in which the original builds them
    (7, 38, 1, 204),
    (7, 67, 1, 204),
    (128, 1, 1, 51),
    (64, 1, 1, 51),
    (32, 1, 1, 51),
    (7, 561, 1, 64),
    (7, 64, 1, 64),
    (7, 64, 1, 64),
)


def _fill(layer: nn.Conv2d | nn.Linear, tensors: Tensors, name: str, weight: Tensor) -> None:
    layer.weight.copy_(weight)
    if layer.bias is not None:
        layer.bias.copy_(torch.from_numpy(tensors[f"{name}/bias"]))


def _numbered(name: str, number: int) -> str:
    return name if number == 0 else f"{name}_{number}"


def _same(frames: int) -> tuple[int, int]:
    """TensorFlow's "same" padding of an even kernel: the odd one goes to the end."""
    return (frames - 1) // 2, frames // 2
