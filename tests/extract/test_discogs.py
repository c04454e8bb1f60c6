"""Discogs-EffNet against essentia's own clip-level call, `TensorflowPredictEffnetDiscogs`, and its ONNX twin.

The network is a small one in files of exactly the published format (`discogs_files/make.py`).
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from east.common.blocks import Block
from east.common.errors import RefusedError
from east.common.store import array_of, open_store
from east.common.terminal import Quiet
from east.extract import job, worker
from east.extract.config import ExtractConfig
from east.extract.job import make_plan
from east.extract.teacher import Weights
from east.extract.teachers import discogs
from east.extract.teachers.discogs import FILENAME, Discogs, Tensors, _essentia, read_tensors
from east.extract.teachers.discogs_onnx import DiscogsOnnx

CPU = torch.device("cpu")
LENGTHS = (2.5, 3, 7.3, 10, 12.5, 29.1)
SMALL = Path(discogs.__file__).with_name("discogs_random")
OTHER = Path(__file__).parent / "discogs_files" / "other"
PREDICTIONS = {"name": "PartitionedCall:0", "shape": [64, 512], "output_purpose": "predictions"}
EMBEDDINGS = {"name": "PartitionedCall:1", "shape": [64, 1280], "output_purpose": "embeddings"}

Audio = npt.NDArray[np.float32]
RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]


def file(path: Path) -> Weights:
    return Weights("file", path, "")


@pytest.fixture(scope="module")
def teacher() -> Discogs:
    return Discogs.load(file(SMALL.with_suffix(".pb")), CPU)


@pytest.fixture(scope="module")
def twin() -> DiscogsOnnx:
    return DiscogsOnnx.load(file(SMALL.with_suffix(".onnx")), CPU)


@pytest.fixture(scope="module")
def original(teacher: Discogs) -> Callable[[Audio], npt.NDArray[np.float32]]:
    """The package's own call: (samples,) -> (frames, 1280), or (0,) for clips that are too short."""
    call = _essentia().standard.TensorflowPredictEffnetDiscogs(
        graphFilename=str(SMALL.with_suffix(".pb")),
        input="serving_default_melspectrogram",
        output="PartitionedCall:1",
    )
    return lambda audio: np.array(call(audio))


def noise(samples: int) -> Audio:
    return (0.1 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)


def description(**schema: object) -> str:
    published = {"inputs": [{"name": "serving_default_melspectrogram"}], "outputs": [PREDICTIONS, EMBEDDINGS]}
    return json.dumps({"name": "EffnetDiscogs", "schema": {**published, **schema}})


def test_equals_the_package(
    teacher: Discogs,
    original: Callable[[Audio], Any],
    clips: Callable[..., dict[str, Audio]],
    mean_of_each: Callable[..., Any],
    agree: Callable[..., None],
) -> None:
    heard = clips(16_000, LENGTHS)
    mixed = {size: mean_of_each(teacher, heard, batch_size=size) for size in (5, 64)}
    for name, audio in heard.items():
        theirs = original(audio).mean(axis=0, dtype=np.float64)
        agree(mean_of_each(teacher, {name: audio}, batch_size=64)[name], theirs)
        agree(mixed[5][name], theirs)
        agree(mixed[64][name], theirs)


@pytest.mark.parametrize(
    ("samples", "frames"),
    [
        (127 * 256 + 1, 1),
        (189 * 256, 1),
        (189 * 256 + 1, 2),
        (464_000, 28),
        ((127 + 63 * 62) * 256, 63),
        ((127 + 63 * 62) * 256 + 1, 64),  # the original's batch is full
        ((127 + 64 * 62) * 256 + 1, 65),
    ],
)
def test_frames_are_those_of_the_package(
    teacher: Discogs,
    original: Callable[[Audio], Any],
    agree: Callable[..., None],
    samples: int,
    frames: int,
) -> None:
    audio = noise(samples)
    windows = teacher.windows(torch.from_numpy(audio))
    assert windows.shape == (frames, 128, 96)
    agree(teacher.embed(windows), original(audio))


def test_shortest_clip_is_what_the_package_can_embed(
    teacher: Discogs, original: Callable[[Audio], Any]
) -> None:
    assert original(noise(Discogs.info.min_samples)).shape == (1, 1280)
    assert original(noise(Discogs.info.min_samples - 1)).shape == (0,)


def test_silence_within_a_clip_is_as_in_the_package(
    teacher: Discogs, original: Callable[[Audio], Any], agree: Callable[..., None]
) -> None:
    audio = noise(160_000)
    audio[40_000:120_000] = 0
    agree(teacher.embed(teacher.windows(torch.from_numpy(audio))), original(audio))


@pytest.mark.parametrize("name", ["teacher", "twin"])
def test_rows_do_not_depend_on_their_batch(name: str, request: pytest.FixtureRequest) -> None:
    loaded: Discogs | DiscogsOnnx = request.getfixturevalue(name)
    windows = 4 * torch.rand(70, 128, 96, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([loaded.embed(window[None]) for window in windows])
    assert alone.shape == (70, 1280)
    assert torch.equal(loaded.embed(windows), alone)


def test_onnx_twin_is_the_same(
    teacher: Discogs, twin: DiscogsOnnx, clips: Callable[..., dict[str, Audio]], agree: Callable[..., None]
) -> None:
    for audio in clips(16_000, LENGTHS).values():
        ours, theirs = (t.windows(torch.from_numpy(audio)) for t in (twin, teacher))
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()
        embedded = teacher.embed(theirs)
        agree(twin.embed(theirs), embedded)
        assert (twin.embed(ours) - embedded).abs().max() <= 1e-4 * embedded.abs().max()


def test_every_thread_has_its_own_graph(teacher: Discogs) -> None:
    audio = torch.from_numpy(noise(80_000))
    expected = teacher.embed(teacher.windows(audio))
    rows: dict[int, torch.Tensor] = {}
    algorithms: dict[int, Any] = {}

    def embed(number: int) -> None:
        rows[number] = teacher.embed(teacher.windows(audio))
        algorithms[number] = teacher._algorithms.network

    threads = [Thread(target=embed, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(network) for network in [*algorithms.values(), teacher._algorithms.network]}) == 4
    assert all(torch.equal(rows[number], expected) for number in range(3))


def test_names_come_from_the_description_beside_the_graph(tmp_path: Path) -> None:
    graph, beside = tmp_path / f"{FILENAME}.pb", tmp_path / f"{FILENAME}.json"
    shutil.copy(SMALL.with_suffix(".pb"), graph)
    assert read_tensors(beside) == Tensors("serving_default_melspectrogram", "PartitionedCall:1")
    beside.write_text(description())
    assert Discogs.load(Weights("published", tmp_path, ""), CPU).tensors == Tensors()
    beside.write_text(description(outputs=[{"name": "PartitionedCall:0", "description": "Embeddings"}]))
    with pytest.raises(RefusedError, match=r"it gives \(64, 512\) instead of \(64, 1280\)"):
        Discogs.load(file(graph), CPU)
    beside.write_text(description(inputs=[{"name": "melspectrogram"}]))
    with pytest.raises(RefusedError, match="'melspectrogram' is not a valid node name of this graph"):
        Discogs.load(file(graph), CPU)


@pytest.mark.parametrize("text", ["<html>", "[]", "{}", '{"schema": {"inputs": [], "outputs": ["x"]}}'])
def test_a_wrong_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(RefusedError, match=r"model\.json does not describe a graph.*or move it away$"):
        read_tensors(tmp_path / "model.json")


def wrong_files(suffix: str) -> dict[str, tuple[bytes, str]]:
    """What may lie under a file's name -> its content, and what is said of it."""
    good = SMALL.with_suffix(suffix).read_bytes()
    page = b"<!DOCTYPE html><html><body>not found</body></html>"
    if suffix == ".onnx":
        return {
            "page": (page, "onnxruntime says '.*'"),
            "truncated": (good[:-1000], "onnxruntime says '.*'"),
            "graph": (SMALL.with_suffix(".pb").read_bytes(), "onnxruntime says '.*'"),
            "other": (OTHER.with_suffix(suffix).read_bytes(), "it has no output of 1280 features"),
        }
    return {
        "empty": (b"", "it is no frozen TensorFlow graph"),
        "page": (page, "it is no frozen TensorFlow graph"),
        "onnx": (SMALL.with_suffix(".onnx").read_bytes(), "it is no frozen TensorFlow graph"),
        "truncated": (good[:-1000], "Error importing graph. Invalid GraphDef"),
        "other": (
            OTHER.with_suffix(suffix).read_bytes(),
            "'serving_default_melspectrogram' is not a valid node name of this graph",
        ),
    }


@pytest.mark.parametrize("wrong", wrong_files(".pb"))
def test_a_wrong_graph_is_refused(tmp_path: Path, wrong: str, capfd: pytest.CaptureFixture[str]) -> None:
    content, reason = wrong_files(".pb")[wrong]
    (tmp_path / "file.pb").write_bytes(content)
    mend = rf"; fetch {FILENAME}\.pb again, or give --weights discogs=PATH of it$"
    with pytest.raises(RefusedError, match=rf"file\.pb is not the network of discogs: {reason}{mend}"):
        Discogs.load(file(tmp_path / "file.pb"), CPU)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", wrong_files(".onnx"))
def test_a_wrong_onnx_file_is_refused(tmp_path: Path, wrong: str, capfd: pytest.CaptureFixture[str]) -> None:
    content, reason = wrong_files(".onnx")[wrong]
    (tmp_path / "file.onnx").write_bytes(content)
    mend = rf"; fetch {FILENAME}\.onnx again, or give --weights discogs-onnx=PATH of it$"
    with pytest.raises(RefusedError, match=rf"file\.onnx is not the network of discogs-onnx: {reason}{mend}"):
        DiscogsOnnx.load(file(tmp_path / "file.onnx"), CPU)
    assert capfd.readouterr() == ("", "")


def test_random_weights_are_said_to_be_a_stand_in(teacher: Discogs, twin: DiscogsOnnx) -> None:
    for loaded in (teacher, twin):
        random = type(loaded).load(Weights("random", None, ""), CPU)
        assert "a small random graph that stands in for the network" in random.info.remark
        assert random.info.parameters is None
        windows = loaded.windows(torch.from_numpy(noise(80_000)))
        assert torch.equal(random.embed(windows), loaded.embed(windows))


def test_nothing_is_said_and_essentia_comes_last() -> None:
    """Its messages are written while it is imported, so a process of its own listens to them."""
    code = """
import sys, numpy, torch
from east.extract.teacher import Weights
from east.extract.teachers.discogs import Discogs
from east.extract.teachers.discogs_onnx import DiscogsOnnx
assert not {"essentia", "onnxruntime"} & set(sys.modules)
for cls in (Discogs, DiscogsOnnx):
    teacher = cls.load(Weights("random", None, ""), torch.device("cpu"))
    assert teacher.embed(teacher.windows(torch.zeros(80_000))).shape == (3, 1280)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_batches_are_full_whatever_the_batch_size(
    tiny_esc50: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ExtractConfig(
        "esc50", tiny_esc50, str(tmp_path / "s.zarr"), ("discogs",), "cpu", weights={"discogs": "random"}
    )
    plan = make_plan(config, Quiet())
    facts = [worker.teacher_facts(spec, plan.index.max_seconds) for spec in plan.teachers]
    store = job._prepare_store(plan, facts)
    task = worker.BlockTask(config.store, plan.index.root, plan.teachers, 16, config.precision)
    rows: list[int] = []
    original = Discogs.embed

    def embed(self: Discogs, windows: torch.Tensor) -> torch.Tensor:
        rows.append(len(windows))
        return original(self, windows)

    monkeypatch.setattr(Discogs, "embed", embed)
    worker.run_block(task, Block(0, store.n_clips))
    assert rows == [20]


def test_extract_run(command: RunCommand, tiny_esc50: Path, tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    run = ("extract", "run", "esc50", tiny_esc50, store, "--device", "cpu", "--limit", 6)
    (tmp_path / "page.pb").write_text("<html>")
    refused = command(*run, "--teacher", "discogs", "--weights", f"discogs={tmp_path / 'page.pb'}")
    assert refused.returncode == 2
    assert "page.pb is not the network of discogs" in refused.stderr.splitlines()[-1]
    assert not store.exists()

    teachers = ("--teacher", "discogs,discogs-onnx")
    random = ("--weights", "discogs=random", "--weights", "discogs-onnx=random")
    done = command(*run, *teachers, *random)
    assert done.returncode == 0, done.stderr
    opened = open_store(str(store))
    means = []
    for name in ("discogs", "discogs-onnx"):
        record = opened.teacher_record(name)
        assert (record.weights["source"], record.device) == ("random", "cpu")
        assert "stands in for the network" in record.remark
        assert record.licences["weights"] == "CC-BY-NC-SA-4.0"
        group = opened.teacher_group(name)
        assert np.asarray(array_of(group, "state")[:]).tolist() == [1] * 6
        means.append(np.asarray(array_of(group, "mean")[:]))
    assert np.abs(means[0] - means[1]).max() <= 1e-3 * np.abs(means[0]).max()
