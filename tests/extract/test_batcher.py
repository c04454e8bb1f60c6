import numpy as np
import pytest
import torch
from torch import Tensor, nn

from east.common.errors import EastError
from east.extract.batcher import Batcher


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(1, 8, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()).eval()


def clips(*lengths_and_frames: tuple[int, int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(frames, 1, length, generator=generator) for length, frames in lengths_and_frames]


def run(batcher: Batcher, windows: list[Tensor]) -> dict[int, np.ndarray]:
    with torch.inference_mode():
        for clip, tensor in enumerate(windows):
            batcher.add(clip, tensor)
        return batcher.finish()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_clip_is_the_same_alone_in_any_batch_and_beside_longer_ones(
    network: nn.Module, batch_size: int
) -> None:
    windows = clips((40, 3), (90, 1), (40, 5), (41, 2), (90, 7))
    together = run(Batcher(network, batch_size), windows)
    assert sorted(together) == [0, 1, 2, 3, 4]
    for clip, tensor in enumerate(windows):
        alone = run(Batcher(network, 64), [tensor])[0]
        assert together[clip].shape == (len(tensor), 8)
        assert np.abs(together[clip] - alone).max() <= 1e-5 * np.abs(alone).max()


def test_batches_are_filled_across_clips() -> None:
    sizes: list[int] = []

    def embed(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        return batch.mean(dim=2)

    run(Batcher(embed, 8), clips(*[(40, 3)] * 10))
    assert sizes == [8, 8, 8, 6]


def test_windows_held_are_bounded_when_every_shape_differs() -> None:
    batcher = Batcher(lambda batch: batch.mean(dim=2), batch_size=4)
    most = 0
    for clip, tensor in enumerate(clips(*[(40 + i, 1) for i in range(100)])):
        batcher.add(clip, tensor)
        most = max(most, sum(len(group) for group in batcher._waiting.values()))
    assert most <= 16
    assert len(batcher.finish()) == 100


def test_a_batch_that_does_not_fit_is_halved_and_the_size_kept() -> None:
    sizes: list[int] = []

    def embed(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch.mean(dim=2)

    batcher = Batcher(embed, 10)
    results = run(batcher, clips((40, 10), (40, 10)))
    assert sizes == [10, 5, 2, 2, 1, 2, 2, 1, 2, 2, 2, 2, 2]
    assert batcher.batch_size == 2
    assert not batcher.failed
    assert [len(results[clip]) for clip in (0, 1)] == [10, 10]


def test_one_window_that_does_not_fit_stops_the_job() -> None:
    def embed(batch: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(EastError, match="use another --device"):
        run(Batcher(embed, 4), clips((40, 4)))


def test_a_clip_that_raises_fails_alone() -> None:
    def embed(batch: Tensor) -> Tensor:
        if (batch == 7).any():
            raise ValueError("a seven")
        return batch.mean(dim=2)

    windows = clips((40, 2), (40, 2), (40, 2))
    windows[1][1, 0, 5] = 7
    batcher = Batcher(embed, 8)
    assert sorted(run(batcher, windows)) == [0, 2]
    assert batcher.failed == {1: "ValueError: a seven"}


def test_a_clip_whose_embedding_is_not_finite_fails_alone() -> None:
    windows = clips((40, 2), (40, 2), (40, 2))
    windows[2][0, 0, 0] = torch.inf
    batcher = Batcher(lambda batch: batch.mean(dim=2), 8)
    assert sorted(run(batcher, windows)) == [0, 1]
    assert batcher.failed == {2: "the embedding is not finite"}
