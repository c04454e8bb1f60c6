"""A third party's teacher of three features that loads at once; slow where a test asks for it."""

import os
import signal
import time
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from east.common.blocks import Block
from east.common.store import open_store
from east.extract.block import process_block
from east.extract.teacher import PublishedWeights, TeacherInfo, Weights


class Tiny:
    """Mean square, mean size and largest sample of every tenth of a second."""

    info: ClassVar[TeacherInfo] = TeacherInfo(
        name="tiny",
        sample_rate=8_000,
        feature=3,
        min_samples=800,
        windows="0.1 s",
        supervision="supervised",
        packages=(),
        licences={"code": "MIT", "weights": "MIT"},
        citation="",
        weights=PublishedWeights(),
    )

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @classmethod
    def load(cls, weights: Weights, device: torch.device) -> Self:
        return cls(device)

    def windows(self, audio: Tensor) -> Tensor:
        if audio.any():  # not the silence that a job measures a teacher with
            time.sleep(float(os.environ.get("TINY_SECONDS", "0")))
            if "TINY_DIES" in os.environ:
                os.kill(os.getpid(), signal.SIGKILL)
        return audio[: len(audio) // 800 * 800].reshape(-1, 800)

    def embed(self, windows: Tensor) -> Tensor:
        return torch.stack([windows.square().mean(1), windows.abs().mean(1), windows.amax(1)], dim=1)


class Other(Tiny):
    """The same under another name."""

    info: ClassVar[TeacherInfo] = TeacherInfo(**{**Tiny.info.__dict__, "name": "other"})


def write_block(store: str, root: Path, block: Block, seed: int) -> int:
    """Process a block with a random pause before every file that it writes; which process did it."""
    random, replace = Random(seed), os.replace

    def late(source: Any, target: Any) -> None:
        time.sleep(0.02 * random.random())
        replace(source, target)

    os.replace = late  # type: ignore[assignment]
    try:
        process_block(block, {"tiny": Tiny(torch.device("cpu"))}, open_store(store, "r+"), root=root)
    finally:
        os.replace = replace
    return os.getpid()
