"""What the teachers' tests share: real and made clips of awkward lengths, alone and in mixed batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from east.common.audio import decode, resample
from east.extract.batcher import Batcher
from east.extract.teacher import Teacher

Audio = npt.NDArray[np.float32]
Means = dict[str, npt.NDArray[np.float64]]


@pytest.fixture(scope="session")
def clips(esc10: Path) -> Callable[..., dict[str, Audio]]:
    """Clips at a rate: made ones of the lengths asked for, and three recordings of ESC-10."""

    def make(rate: int, seconds: tuple[float, ...]) -> dict[str, Audio]:
        random = np.random.default_rng(0)
        made: dict[str, Audio] = {
            f"{s} s": (0.1 * random.standard_normal(round(s * rate))).astype(np.float32) for s in seconds
        }
        for path in sorted((esc10 / "audio").iterdir())[:300:100]:
            audio = decode(path, 5.0)
            made[path.name] = resample(audio.samples, audio.rate, rate)
        return made

    return make


@pytest.fixture(scope="session")
def mean_of_each() -> Callable[..., Means]:
    """Each clip's mean embedding, with the windows of all clips sharing batches."""

    def embed(teacher: Teacher, audio: Mapping[str, Audio], batch_size: int) -> Means:
        batcher = Batcher(teacher.embed, batch_size)
        with torch.inference_mode():
            for number, samples in enumerate(audio.values()):
                batcher.add(number, teacher.windows(torch.from_numpy(samples)))
            rows = batcher.finish()
        assert batcher.failed == {}
        return {name: rows[number].mean(axis=0, dtype=np.float64) for number, name in enumerate(audio)}

    return embed


@pytest.fixture(scope="session")
def agree() -> Callable[[npt.ArrayLike, npt.ArrayLike], None]:
    """Equal as the project means it: max|a - b| <= 1e-5 max|a|."""

    def check(ours: npt.ArrayLike, theirs: npt.ArrayLike) -> None:
        a, b = np.asarray(theirs, np.float64), np.asarray(ours, np.float64)
        assert a.shape == b.shape
        assert np.abs(a).max() > 0
        assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max()

    return check
