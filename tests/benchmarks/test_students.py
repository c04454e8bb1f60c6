"""The exported students: size on disk and real-time factor, printed; nothing is asserted about time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from east.common.onnx_runtime import import_onnxruntime
from east.common.store import Store
from east.train.config import TrainConfig
from east.train.export import ExportConfig, export
from east.train.run import train

pytestmark = pytest.mark.benchmark

ROUNDS = 20


def seconds_of_a_window(path: Path, threads: int) -> tuple[float, float]:
    """The quickest of several calls with one window, and the length of the window in seconds."""
    options = import_onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads
    session = import_onnxruntime().InferenceSession(path, options, providers=["CPUExecutionProvider"])
    window = session.get_inputs()[0].shape[1]
    audio = np.random.default_rng(0).normal(0, 0.1, (1, window)).astype(np.float32)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        session.run(None, {"audio": audio})
        times.append(time.perf_counter() - start)
    return min(times), window / 16_000


@pytest.mark.parametrize("student", ["sc-cnn", "hcnn"])
def test_size_and_real_time_factor(make_store: Callable[..., Store], tmp_path: Path, student: str) -> None:
    store, run = make_store(), tmp_path / "run"
    train(TrainConfig(store.url, "baseline", student=student, epochs=1, out=run))  # 128 channels
    print()
    for precision in ("float32", "float16", "int8"):
        path = tmp_path / f"{precision}.onnx"
        export(ExportConfig(run, path, precision, store.url))
        for threads in (1, 2):
            taken, heard = seconds_of_a_window(path, threads)
            print(
                f"{student} {precision}: {path.stat().st_size / 1e6:.1f} MB; a window of {heard:.2f} s takes "
                f"{1000 * taken:.0f} ms on {threads} CPU thread(s), real-time factor {taken / heard:.4f}"
            )
