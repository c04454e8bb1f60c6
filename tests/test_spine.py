"""The main job on real recordings with the really pretrained teacher."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from east.common.blocks import State, states
from east.common.errors import RefusedError
from east.common.store import array_of, open_store
from east.extract.config import ExtractConfig
from east.extract.job import extract
from east.extract.teachers.musicnn import Musicnn
from east.extract.weights import resolve_weights
from east.train.config import TrainConfig
from east.train.run import train
from east.train.systems import SYSTEMS

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def published_weights() -> None:
    try:
        resolve_weights(Musicnn.info, None)
    except RefusedError as error:
        pytest.skip(str(error))


def test_recordings_in_trained_student_out(
    esc10_part: Callable[[int], Path], tmp_path: Path, command: Run
) -> None:
    root, store = esc10_part(5), tmp_path / "esc10.zarr"
    run = command("extract", "run", "esc50", root, store, "--teacher", "musicnn")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == f"{store}: 80 done, 0 failed"
    shutil.rmtree(root / "meta")
    (root / "audio").unlink()  # training reads nothing but the store
    base = ["train", "run", store, "--fold", 1, "--channels", 2, "--epochs", 1]
    for system in ("teacher-lr", "east-dc+linear"):
        run = command(*base, "--system", system, "--teacher", "musicnn", "--out", tmp_path / system)
        assert run.returncode == 0, run.stderr
    ceiling = json.loads((tmp_path / "teacher-lr" / "results.json").read_text())
    assert ceiling["test"]["accuracy"] > 0.5  # chance is 0.1
    assert (ceiling["labelled"], ceiling["dataset"], ceiling["fold"]) == (48, "esc50", 1)


def test_a_clip_is_the_same_alone_and_among_others(esc10_part: Callable[[int], Path], tmp_path: Path) -> None:
    root = esc10_part(40)
    alone = tmp_path / "alone.zarr"
    extract(ExtractConfig("esc50", root, str(tmp_path / "all.zarr"), ("musicnn",), batch_size=7))
    extract(ExtractConfig("esc50", root, str(alone), ("musicnn",), limit=1))
    together = array_of(open_store(str(tmp_path / "all.zarr")).teacher_group("musicnn"), "frames")
    first, one = (
        np.asarray(together[0]),
        np.asarray(array_of(open_store(str(alone)).teacher_group("musicnn"), "frames")[0]),
    )
    assert np.abs(first - one).max() <= 1e-5 * np.abs(one).max()


@pytest.mark.slow
def test_esc10_as_a_whole(esc10: Path, tmp_path: Path) -> None:
    """All 400 recordings, the ceiling over five folds, and every system once."""
    store = str(tmp_path / "esc10.zarr")
    result = extract(ExtractConfig("esc50", esc10, store, ("musicnn",)))
    assert (result.done, result.failed) == (400, 0)
    assert (states(open_store(store).audio) == State.DONE).all()
    accuracy = []
    for fold in range(1, 6):
        run = TrainConfig(store, "teacher-lr", "musicnn", fold=fold, out=tmp_path / f"lr{fold}")
        accuracy.append(train(run)["test"]["accuracy"])
    assert np.mean(accuracy) >= 0.88
    for system, row in SYSTEMS.items():
        teacher = "musicnn" if row.needs_teacher else None
        run = TrainConfig(store, system, teacher, fold=1, channels=4, epochs=2, out=tmp_path / system)
        assert 0 <= train(run)["test"]["accuracy"] <= 1
