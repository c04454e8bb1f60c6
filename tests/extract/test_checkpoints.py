import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from east.common.errors import RefusedError
from east.extract.checkpoints import fill, load_checkpoint, load_safetensors


class Code:
    """Unpickling it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_tensors_numbers_and_numpy_arrays(tmp_path: Path) -> None:
    saved = {"model": {"w": torch.ones(2)}, "step": 3, "order": np.arange(3), "share": np.float32(0.5)}
    torch.save(saved, tmp_path / "c.pt")
    loaded = load_checkpoint(tmp_path / "c.pt", "t")
    assert torch.equal(loaded["model"]["w"], torch.ones(2))
    assert (loaded["step"], loaded["order"].tolist(), float(loaded["share"])) == (3, [0, 1, 2], 0.5)


def test_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"model": Code(tmp_path / "ran")}, tmp_path / "c.pt")
    with pytest.raises(RefusedError, match=r"c\.pt is no checkpoint of t: .*holds more than tensors"):
        load_checkpoint(tmp_path / "c.pt", "t")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"<!doctype html><title>Sign in</title>", b"", b"PK\x03\x04 cut"])
def test_what_is_no_checkpoint(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_bytes(content)
    for load in (load_checkpoint, load_safetensors):
        with pytest.raises(RefusedError, match=r"c\.pt is no checkpoint of t.*--weights t=PATH") as error:
            load(tmp_path / "c.pt", "t")
        assert "\n" not in str(error.value)


def test_truncated(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1000)}, tmp_path / "c.pt")
    (tmp_path / "c.pt").write_bytes((tmp_path / "c.pt").read_bytes()[:2000])
    with pytest.raises(RefusedError, match="it is damaged"):
        load_checkpoint(tmp_path / "c.pt", "t")


def test_fill_wants_every_tensor_with_its_shape_and_no_other() -> None:
    layer = nn.Linear(2, 1)
    fill(layer, {"weight": torch.ones(1, 2), "bias": torch.ones(1)}, Path("f"), "t")
    assert layer.weight.tolist() == [[1, 1]]
    for state, wrong in (
        ({}, "2 tensors are missing, 0 are unknown, 0 have another shape"),
        ({"weight": torch.ones(1, 3), "bias": torch.ones(1)}, "0 .* 0 are unknown, 1 have another shape"),
        ({"weight": torch.ones(1, 2), "bias": torch.ones(1), "x": torch.ones(1)}, "1 are unknown"),
        ({"weight": "text", "bias": torch.ones(1)}, r"1 have another shape \(as weight\)"),
    ):
        with pytest.raises(RefusedError, match=wrong):
            fill(layer, state, Path("f"), "t")
