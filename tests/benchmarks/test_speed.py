"""Ratios measured in one run and printed; nothing is asserted about time.

Each compares what the project does with the plainest code for the same work, in the same process and
with the same number of threads, one right after the other.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from east.common.audio import decode, resample, to_int16
from east.common.memory import keep_freed_memory
from east.common.store import array_of, open_store
from east.extract.config import ExtractConfig
from east.extract.job import extract
from east.extract.teachers.musicnn import Musicnn
from east.extract.weights import resolve_weights
from east.train.config import TrainConfig
from east.train.crops import CropReader, training_keys
from east.train.data import load_task
from east.train.guided import objective
from east.train.loop import setup
from east.train.losses import prediction_loss

pytestmark = pytest.mark.benchmark

BATCH = 16


@pytest.fixture(scope="module")
def esc10_store(esc10: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """The store of ESC-10 and the seconds that its blocks took."""
    store = str(tmp_path_factory.mktemp("bench") / "esc10.zarr")
    result = extract(ExtractConfig("esc50", esc10, store, ("musicnn",), batch_size=BATCH))
    assert result.done == 400
    return store, result.seconds


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def plain_extraction(esc10: Path) -> None:
    """Decode, resample, windows and embed in full batches by a plain loop; nothing is written."""
    teacher = Musicnn.load(resolve_weights(Musicnn.info, None), torch.device("cpu"))
    waiting: list[Tensor] = []
    with torch.inference_mode():
        for path in sorted((esc10 / "audio").glob("*.ogg")):
            audio = decode(path, 5.0)
            waiting += teacher.windows(torch.from_numpy(resample(audio.samples, audio.rate, 16_000)))
            while len(waiting) >= BATCH:
                teacher.embed(torch.stack(waiting[:BATCH]))
                del waiting[:BATCH]
        teacher.embed(torch.stack(waiting))


def test_extraction_against_a_plain_loop(esc10: Path, esc10_store: tuple[str, float]) -> None:
    seconds = esc10_store[1]
    careless = timed(lambda: plain_extraction(esc10))
    keep_freed_memory()  # as our workers do
    plain = timed(lambda: plain_extraction(esc10))
    print(
        f"\nextract run of 400 clips {seconds:.1f} s, plain loop {plain:.1f} s, ratio {seconds / plain:.3f}"
    )
    print(f"the plain loop without keeping freed memory: {careless:.1f} s")


def test_training_step_against_the_student_alone(esc10_store: tuple[str, float]) -> None:
    url = esc10_store[0]
    config = TrainConfig(url, "east-dc+linear", "musicnn", fold=1, epochs=1, device="cpu")
    store = open_store(url)
    ready = setup(config, store, load_task(store, config))
    alone = setup(TrainConfig(url, "baseline", fold=1, epochs=1, device="cpu"), store, ready.data)
    keys = training_keys(ready.data, ready.reader.window, config, epoch=1)
    batches = ready.reader.batches(keys, BATCH)
    audio, labels = torch.rand(BATCH, ready.reader.window) - 0.5, torch.from_numpy(ready.data.labels[:BATCH])

    def guided_step() -> None:
        heard, embedding, known = ready.batch(*next(batches))
        terms = objective(ready.model(heard, embedding), known, ready.data.task, config.system_row)
        loss = terms.total(config.weight)
        ready.optimizer.zero_grad()
        ready.fabric.backward(loss)
        ready.fabric.clip_gradients(ready.model, ready.optimizer, max_norm=1.0)
        ready.optimizer.step()

    def student_step() -> None:
        loss = prediction_loss(alone.model(audio).logits, labels, ready.data.task)
        alone.optimizer.zero_grad()
        alone.fabric.backward(loss)
        alone.fabric.clip_gradients(alone.model, alone.optimizer, max_norm=1.0)
        alone.optimizer.step()

    ready.model.train(), alone.model.train()
    timed(guided_step), timed(student_step)
    pairs = [(timed(guided_step), timed(student_step)) for _ in range(10)]
    guided, student = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"\nstep of 16 at 128 channels: {guided:.3f} s from the store, {student:.3f} s the student alone",
        end="",
    )
    print(f", ratio {guided / student:.3f}")


def test_loader_against_bare_reads_and_decoding(
    esc10: Path, esc10_store: tuple[str, float], tmp_path: Path
) -> None:
    url, n = esc10_store[0], 960
    random = np.random.default_rng(0)
    keys = np.stack([random.integers(0, 400, n), random.integers(0, 80_000 - 59_049, n)], axis=1)
    reader = CropReader(open_store(url), 59_049)
    array = array_of(open_store(url).audio, "waveform")
    np.save(tmp_path / "embedding.npy", np.zeros(1506, dtype=np.float32))
    paths = sorted((esc10 / "audio").glob("*.ogg"))

    def drain(batches: Iterator[object]) -> None:
        for _ in batches:
            pass

    def decode_and_read(row: int, start: int) -> object:
        audio = decode(paths[row], 5.0)
        crop = to_int16(resample(audio.samples, audio.rate, 16_000))[start : start + 59_049]
        return crop, np.load(tmp_path / "embedding.npy")

    loader = n / timed(lambda: drain(reader.batches(keys, BATCH)))
    bare = n / timed(lambda: [array[row, start : start + 59_049] for row, start in keys])
    decoding = 200 / timed(lambda: drain(decode_and_read(row, start) for row, start in keys[:200]))
    print(
        f"\ncrops of 3.69 s per second: loader {loader:.0f}, bare reads {bare:.0f}, decoding {decoding:.0f}"
    )
    print(f"loader / bare {loader / bare:.2f}, loader / decoding {loader / decoding:.1f}")


def test_memory_of_reading_does_not_follow_the_number_of_clips(esc10_store: tuple[str, float]) -> None:
    store = open_store(esc10_store[0])
    reader, random = CropReader(store, 59_049), np.random.default_rng(0)
    resident = []
    for n in (100, 1_000, 10_000):
        keys = np.stack([random.integers(0, 400, n), np.zeros(n, np.int64)], axis=1)
        for _ in reader.batches(keys, BATCH):
            pass
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(f"{n} crops {pages * resource.getpagesize() / 2**20:.0f} MB")
    print(f"\nresident memory after reading {', '.join(resident)}")


@pytest.mark.parametrize("name", ["extract", "train"])
def test_help_against_an_empty_program(name: str) -> None:
    executable = str(Path(sys.executable).with_name(name))
    quiet = {"stdout": subprocess.DEVNULL, "env": os.environ, "check": True}
    empty = min(timed(lambda: subprocess.run([sys.executable, "-c", "pass"], **quiet)) for _ in range(5))  # type: ignore[call-overload]
    ours = min(timed(lambda: subprocess.run([executable, "--help"], **quiet)) for _ in range(5))  # type: ignore[call-overload]
    print(f"\n{name} --help: {ours:.2f} s; python -c pass {empty:.2f} s; {ours - empty:.2f} s more")
