from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from east.common.blocks import Block
from east.common.layout import Columns
from east.common.store import Header, TeacherRecord, create_store
from east.extract import worker
from east.extract.teacher import PublishedWeights, TeacherInfo, TeacherSpec, Weights


class Greedy:
    """Memory for three windows."""

    info: ClassVar[TeacherInfo] = TeacherInfo(
        name="t",
        sample_rate=8_000,
        feature=1,
        min_samples=800,
        windows="",
        supervision="",
        packages=(),
        licences={},
        citation="",
        weights=PublishedWeights(),
    )
    device = torch.device("cpu")
    tried: ClassVar[list[int]] = []

    @classmethod
    def load(cls, weights: Weights, device: torch.device) -> "Greedy":
        return cls()

    def windows(self, audio: Tensor) -> Tensor:
        return audio.unfold(0, 800, 800)

    def embed(self, windows: Tensor) -> Tensor:
        self.tried.append(len(windows))
        if len(windows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return windows.mean(dim=1, keepdim=True)


def test_memory_runs_out_once_and_not_in_every_block(
    tmp_path: Path,
    tone: Callable[..., None],
    make_header: Callable[..., Header],
    make_record: Callable[..., TeacherRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import numpy as np

    monkeypatch.setattr(worker, "find_teacher", lambda _: Greedy)
    for name in ("a", "b"):
        tone(tmp_path / f"{name}.wav", 0.4, 8_000)
    columns = Columns(
        clip_id=np.array(["a", "b"]),
        path=np.array(["a.wav", "b.wav"]),
        fold=np.full(2, -1, np.int8),
        label=np.eye(2, dtype=np.int8),
        splits={"given": np.array([["train", "test"]])},
    )
    store = create_store(str(tmp_path / "s.zarr"), make_header(block=1), columns)
    store.create_teacher(make_record(), n_frames=5, feature=1)
    spec = TeacherSpec("greedy", "t", Weights("random", None, "worker test"), "cpu")
    task = worker.BlockTask(store.url, tmp_path, (spec,), batch_size=4, precision="float32")
    assert [worker.run_block(task, Block(n, n + 1)).batch_sizes for n in (0, 1)] == [{"t": 2}, {"t": 2}]
    assert Greedy.tried == [4, 2, 2, 2, 2]
