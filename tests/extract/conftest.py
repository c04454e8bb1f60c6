"""What the tests share: clips of awkward lengths for the teachers, and jobs of a tiny teacher."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import zarr

from east.common.audio import decode, resample
from east.common.terminal import Quiet
from east.extract import cluster
from east.extract.batcher import Batcher
from east.extract.config import ExtractConfig
from east.extract.job import ExtractResult, extract
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


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with an installed package that brings the teachers `tiny` and `other`."""
    folder = tmp_path_factory.mktemp("plugins")
    described = folder / "tiny_teacher-1.0.dist-info"
    described.mkdir()
    (folder / "tiny_teacher.py").write_text(Path(__file__).with_name("tiny_teacher.py").read_text())
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-teacher\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(
        "[east.teachers]\ntiny = tiny_teacher:Tiny\nother = tiny_teacher:Other\n"
    )
    return folder


@pytest.fixture
def counting(plugins: Path, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The environment in which a job's writes into a store are counted; see `counted_writes.py`."""
    folder = tmp_path / "counting"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("counted_writes.py"), folder / "sitecustomize.py")

    def environment(store: Path, log: Path, kill: str = "") -> dict[str, str]:
        paths = f"{folder}{os.pathsep}{plugins}"
        return {"PYTHONPATH": paths, "WRITES_STORE": f"{store}/", "WRITES_LOG": str(log), "WRITES_KILL": kill}

    return environment


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `extract run` in a process group of its own; what is left at the end is killed."""
    jobs: list[subprocess.Popen[str]] = []

    def begin(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("extract")), "run", *map(str, arguments)]
        pipe, env = subprocess.PIPE, {**os.environ, **environment}
        job = subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe, env=env, start_new_session=True)
        jobs.append(job)
        return job

    yield begin
    for job in jobs:
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        job.communicate()


@pytest.fixture(scope="module")
def tiny_job(plugins: Path) -> Iterator[Callable[..., ExtractResult]]:
    """Runs jobs of the tiny teacher in this process; Dask is left out, which saves seconds for every job."""

    def run(
        dataset: str, root: Path, store: Path, teachers: tuple[str, ...] = ("tiny",), **changes: Any
    ) -> ExtractResult:
        changes = {"weights": dict.fromkeys(teachers, "random"), "max_failed": 1.0, **changes}
        return extract(ExtractConfig(dataset, root, str(store), teachers, **changes), Quiet())

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(plugins))
        patch.setattr(cluster, "local_cluster", lambda workers: nullcontext())
        patch.setattr(cluster, "call_on_worker", lambda client, function, argument: function(argument))
        patch.setattr(cluster, "map_window", _map_here)
        yield run


def _map_here(client: None, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    return map(function, items)


@pytest.fixture(scope="session")
def tiny_root(make_tiny_esc50: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ESC-50's layout with 20 clips of 0.4 s, two of which are no audio; to be read only."""
    root = make_tiny_esc50(tmp_path_factory.mktemp("root") / "tiny")
    audio = sorted((root / "audio").iterdir())
    audio[0].write_bytes(b"")
    audio[9].write_text("no sound")
    return root


@pytest.fixture
def same_arrays() -> Callable[[Path, Path], None]:
    """Asserts that two stores hold the same."""

    def check(a: Path, b: Path) -> None:
        left, right = _all_arrays(a), _all_arrays(b)
        assert left.keys() == right.keys()
        for name, values in left.items():
            if values.dtype == np.float32 and values.ndim > 1:  # batches may be others
                assert np.abs(values - right[name]).max() <= 1e-5 * np.abs(values).max(), name
            else:
                np.testing.assert_array_equal(values, right[name], err_msg=name)

    return check


def _all_arrays(store: Path) -> dict[str, np.ndarray]:
    members = zarr.open_group(store, mode="r").members(max_depth=None)
    return {name: np.asarray(array[...]) for name, array in members if isinstance(array, zarr.Array)}
