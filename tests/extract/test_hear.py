"""A package of the HEAR 2021 interface, written by the test."""

from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from east.common.errors import RefusedError
from east.extract.config import ExtractConfig
from east.extract.job import extract
from east.extract.teacher import Weights
from east.extract.teachers import find_teacher

MODULE = """
import torch

class Model(torch.nn.Module):
    sample_rate = 8000
    scene_embedding_size = 3
    timestamp_embedding_size = 2

def load_model(model_file_path=""):
    return Model()

def get_scene_embeddings(audio, model):
    return torch.stack([audio.mean(1), audio.std(1), audio.abs().amax(1)], dim=1)

def get_timestamp_embeddings(audio, model):
    frames = audio.unfold(1, 800, 800)
    embeddings = torch.stack([frames.mean(2), frames.std(2)], dim=2)
    return embeddings, torch.arange(frames.shape[1])[None] * 100.0
"""
PACKAGE = Weights("package", None, "tinyhear 1.0")


@pytest.fixture
def tinyhear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the module, which this process and its workers can import."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "tinyhear.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_scene_embeddings_are_one_frame(tinyhear: Path) -> None:
    teacher = find_teacher("hear:tinyhear").load(PACKAGE, torch.device("cpu"))
    assert (teacher.info.name, teacher.info.sample_rate, teacher.info.feature) == ("hear-tinyhear", 8000, 3)
    audio = torch.tensor([0.0, 1.0, -0.5, 0.5])
    embedding = teacher.embed(teacher.windows(audio))
    torch.testing.assert_close(embedding, torch.stack([audio.mean(), audio.std(), torch.tensor(1.0)])[None])


def test_timestamp_embeddings_are_the_frames(tinyhear: Path) -> None:
    teacher = find_teacher("hear:tinyhear:timestamps").load(PACKAGE, torch.device("cpu"))
    assert teacher.info.name == "hear-tinyhear-timestamps"
    assert teacher.embed(teacher.windows(torch.zeros(8000))).shape == (10, 2)


def test_through_a_whole_job(tinyhear: Path, tiny_esc50: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "s.zarr")
    result = extract(ExtractConfig("esc50", tiny_esc50, store, ("hear:tinyhear",), device="cpu"))
    assert (result.done, result.failed) == (20, 0)
    group = zarr.open_group(store, mode="r")["teachers/hear-tinyhear"]
    assert isinstance(group, zarr.Group)
    assert group.attrs["teacher"]["sample_rate"] == 8000  # type: ignore[call-overload, index]
    assert np.asarray(group["mean"]).shape == (20, 3)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("hear:nowhere", PACKAGE, "No module named 'nowhere'"),
        ("hear:json", PACKAGE, "the module has no load_model"),
        ("hear:", PACKAGE, "give hear:MODULE"),
        ("hear:json:frames", PACKAGE, "give hear:MODULE or hear:MODULE:timestamps"),
        ("hear:json", Weights("random", None, ""), "has no random weights"),
        ("ear:json", PACKAGE, "unknown family of teachers 'ear': did you mean 'hear'"),
    ],
)
def test_refusals(name: str, weights: Weights, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        find_teacher(name).load(weights, torch.device("cpu"))
