"""Clips per second of each teacher in shared batches against the package's own one-clip loop, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from east.common.audio import decode, resample
from east.common.memory import keep_freed_memory
from east.extract.batcher import Batcher
from east.extract.block import BATCH_SIZE
from east.extract.teacher import Weights
from east.extract.teachers import find_teacher

pytestmark = pytest.mark.benchmark
N_CLIPS = 32


def passt(teacher: Any) -> Callable[[torch.Tensor], Any]:
    from hear21passt.wrapper import PasstBasicWrapper

    wrapper = PasstBasicWrapper(teacher.mel, teacher.network, mode="embed_only").eval()
    return lambda audio: wrapper.get_scene_embeddings(audio[None])


def panns(teacher: Any) -> Callable[[torch.Tensor], Any]:
    return lambda audio: teacher.network(teacher.front_end(audio[None]))["embedding"]


def mule(teacher: Any) -> Callable[[torch.Tensor], Any]:
    return lambda audio: teacher.model(audio[None])


@pytest.mark.parametrize("original", [passt, panns, mule])
def test_batches_against_one_clip_at_a_time(original: Callable[..., Any], esc10: Path) -> None:
    keep_freed_memory()
    teacher: Any = find_teacher(original.__name__).load(Weights("random", None, ""), torch.device("cpu"))
    paths = sorted((esc10 / "audio").iterdir())[:N_CLIPS]
    sounds = [decode(path, 5.0) for path in paths]
    clips = [torch.from_numpy(resample(s.samples, s.rate, teacher.info.sample_rate)) for s in sounds]
    alone = original(teacher)
    with torch.inference_mode():
        alone(clips[0])
        start = time.perf_counter()
        for clip in clips:
            alone(clip)
        one_by_one = time.perf_counter() - start
        start = time.perf_counter()
        batcher = Batcher(teacher.embed, BATCH_SIZE)
        for number, clip in enumerate(clips):
            batcher.add(number, teacher.windows(clip))
        assert np.isfinite(np.stack([rows.mean(axis=0) for rows in batcher.finish().values()])).all()
        batched = time.perf_counter() - start
    print(
        f"\n{original.__name__}: {N_CLIPS / one_by_one:.2f} clips/s one by one, {N_CLIPS / batched:.2f} in "
        f"batches of {BATCH_SIZE}, ratio {one_by_one / batched:.2f}"
    )
