"""Cnn14 against the package's own network, whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from east.common.errors import RefusedError
from east.extract.teacher import Weights
from east.extract.teachers.panns import Panns, cnn14

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as Zenodo has it: the network under "model", NumPy arrays of the sampler beside it."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "Cnn14_mAP=0.431.pth"
    sampler = {"pointer": 3, "indexes": [np.arange(5)], "share": np.float64(0.5)}
    torch.save({"iteration": 600_000, "model": cnn14().state_dict(), "sampler": sampler}, path)
    return path


def check(
    path: Path,
    clips: dict[str, Any],
    mean_of_each: Callable[..., Any],
    agree: Callable[..., None],
) -> None:
    teacher = Panns.load(Weights("file", path, ""), CPU)
    mixed = mean_of_each(teacher, clips, batch_size=4)
    original = cnn14().eval()
    original.load_state_dict(torch.load(path, weights_only=False)["model"])
    for name, audio in clips.items():
        with torch.inference_mode():
            theirs = original(torch.from_numpy(audio)[None])["embedding"][0].numpy()
        agree(mean_of_each(teacher, {name: audio}, batch_size=1)[name], theirs)
        agree(mixed[name], theirs)


def test_equals_the_package(
    published: Path, clips: Callable[..., Any], mean_of_each: Callable[..., Any], agree: Callable[..., None]
) -> None:
    check(published, clips(32_000, (0.5, 3)), mean_of_each, agree)


@pytest.mark.slow
def test_equals_the_package_for_long_clips(
    published: Path, clips: Callable[..., Any], mean_of_each: Callable[..., Any], agree: Callable[..., None]
) -> None:
    check(published, clips(32_000, (0.5, 3, 7.3, 10, 12.5, 29.1)), mean_of_each, agree)


def test_shortest_clip_and_size(published: Path) -> None:
    teacher = Panns.load(Weights("file", published, ""), CPU)
    with torch.inference_mode():
        windows = teacher.windows(torch.zeros(teacher.info.min_samples))
        assert windows.shape == (1, 1, 32, 64)
        assert teacher.embed(windows).shape == (1, 2048)
    whole = cnn14()
    stated = teacher.info.parameters
    assert stated is not None
    assert sum(p.numel() for p in whole.parameters()) == stated.total
    assert sum(p.numel() for p in whole.parameters() if p.requires_grad) == stated.trainable
    head = sum(p.numel() for p in whole.fc_audioset.parameters())
    assert stated.trainable - head == stated.without_heads


def test_a_file_without_its_network_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    with pytest.raises(
        RefusedError, match=r"other\.pth is not a checkpoint of panns: \d+ tensors are missing"
    ):
        Panns.load(Weights("file", tmp_path / "other.pth", ""), CPU)
