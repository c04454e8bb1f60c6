"""Small audio, small data sets and small stores, made by the tests themselves."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from east.common.blocks import Block, State, commit, plan
from east.common.layout import Columns, stored_samples
from east.common.store import SCHEMA, Header, Store, TeacherRecord, create_store

pytest_plugins = ["tests.archives"]

REPOSITORY = Path(__file__).parents[1]
ESC10 = REPOSITORY.parent / "shared" / "esc10"

RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]
MakeStore = Callable[..., Store]


@pytest.fixture(scope="session", autouse=True)
def _interrupts_arrive() -> None:
    """Let Ctrl-C reach the commands that tests start, also where a shell runs the tests in the background.

    Such a shell ignores it, and every process below would inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def command() -> RunCommand:
    """Runs one of our commands as a user does, in a process of its own."""

    def run(*arguments: object, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        executable = Path(sys.executable).with_name(str(arguments[0]))
        return subprocess.run(
            [str(executable), *map(str, arguments[1:])],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **environment},
        )

    return run


@pytest.fixture(scope="session")
def esc10() -> Path:
    """The real recordings, where this machine has them."""
    if not (ESC10 / "meta" / "esc50.csv").is_file():
        pytest.skip(f"real recordings are not at {ESC10}")
    return ESC10


@pytest.fixture
def esc10_part(esc10: Path, tmp_path: Path) -> Callable[[int], Path]:
    """A root with every n-th row of ESC-10, the audio where it lies."""

    def make(every: int) -> Path:
        root = tmp_path / f"esc10-every-{every}"
        (root / "meta").mkdir(parents=True)
        (root / "audio").symlink_to(esc10 / "audio")
        lines = (esc10 / "meta" / "esc50.csv").read_text().splitlines()
        (root / "meta" / "esc50.csv").write_text("\n".join([lines[0], *lines[1::every]]) + "\n")
        return root

    return make


def write_tone(
    path: Path, seconds: float, rate: int = 16_000, channels: int = 1, pitch: float = 440.0
) -> None:
    """A tone with a little noise; the format follows the file name."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(round(pitch)).normal(0, 0.01, len(time))
    tone = (0.4 * np.sin(2 * np.pi * pitch * time) + noise).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.repeat(tone[:, None], channels, axis=1), rate)


@pytest.fixture
def tone() -> Callable[..., None]:
    return write_tone


@pytest.fixture
def tiny_esc50(tmp_path: Path) -> Path:
    """ESC-50's layout with 20 clips of 0.4 s, 2 classes and 5 folds."""
    return write_tiny_esc50(tmp_path / "tiny")


def write_tiny_esc50(root: Path) -> Path:
    rows = []
    for fold in range(1, 6):
        for take, (target, category, pitch) in enumerate([(3, "cow", 300.0), (40, "saw", 2000.0)] * 2):
            name = f"{fold}-{100 + fold}-{'ABCD'[take]}-{target}.wav"
            write_tone(root / "audio" / name, 0.4, pitch=pitch + 10 * fold + take)
            rows.append([name, fold, target, category, "True", 100 + fold, "ABCD"[take]])
    (root / "meta").mkdir()
    with (root / "meta" / "esc50.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "fold", "target", "category", "esc10", "src_file", "take"])
        table.writerows(rows)
    return root


@pytest.fixture(scope="session")
def make_tiny_esc50() -> Callable[[Path], Path]:
    return write_tiny_esc50


def header(**changes: object) -> Header:
    values: dict[str, object] = {
        "schema": SCHEMA,
        "dataset": "csv",
        "task": "multi-class",
        "classes": ["a", "b"],
        "protocols": ["given"],
        "index_sha256": "0" * 64,
        "max_seconds": 0.5,
        "block": 8,
        "created": "2026-01-01T00:00:00+00:00",
        "software": "test",
        "root": "audio.csv",
    }
    return Header(**{**values, **changes})  # type: ignore[arg-type]


def teacher_record(**changes: object) -> TeacherRecord:
    values: dict[str, object] = {
        "name": "t",
        "versions": {},
        "weights": {"source": "file", "sha256": "1" * 64},
        "sample_rate": 16_000,
        "windows": "one",
        "supervision": "supervised",
        "licences": {"code": "MIT", "weights": "MIT"},
        "citation": "",
        "dtype": "float32",
        "precision": "float32",
        "device": "cpu",
    }
    return TeacherRecord(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def make_header() -> Callable[..., Header]:
    return header


@pytest.fixture
def make_record() -> Callable[..., TeacherRecord]:
    return teacher_record


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """A finished store of 48 clips of 0.5 s that can be learnt from: pitch and embedding tell the class.

    Two thirds of the clips train, a sixth validates, a sixth tests.
    """

    def make(
        name: str = "small.zarr",
        task: str = "multi-class",
        labels: npt.NDArray[np.int8] | None = None,
        failed: tuple[int, ...] = (),
        splits: dict[str, npt.NDArray[np.str_]] | None = None,
        n: int = 48,
    ) -> Store:
        random = np.random.default_rng(0)
        number = np.arange(n) % 2
        if labels is None:
            labels = np.eye(2, dtype=np.int8)[number]
        given = np.array(["train", "train", "train", "train", "valid", "test"])[np.arange(n) // 2 % 6]
        columns = Columns(
            clip_id=np.array([f"clip{i:03d}" for i in range(n)]),
            path=np.array([f"{i:03d}.wav" for i in range(n)]),
            fold=np.full(n, -1, dtype=np.int8),
            label=labels,
            splits=splits or {"given": given[None]},
        )
        protocols = list(columns.splits)
        store = create_store(str(tmp_path / name), header(task=task, protocols=protocols), columns)
        store.create_teacher(teacher_record(), n_frames=2, feature=6)
        centres = random.normal(size=(2, 6))
        for block in plan(n, 8):
            rows = np.arange(block.start, block.stop)
            state = np.where(np.isin(rows, failed), State.FAILED, State.DONE).astype(np.uint8)
            commit(store.audio, block, {**_sounds(rows, number[rows]), "state": state})
            frames = (centres[number[rows]][:, None] + 0.3 * random.normal(size=(len(rows), 2, 6))).astype(
                np.float32
            )
            embedded = {
                "frames": frames,
                "mean": frames.mean(axis=1),
                "n_frames": np.full(len(rows), 2, np.int32),
            }
            commit(store.teacher_group("t"), block, {**embedded, "state": state})
        return store

    return make


def _sounds(rows: npt.NDArray[np.int64], number: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.generic]]:
    width = stored_samples(0.5)
    time = np.arange(width) / 16_000
    pitch = np.where(number == 0, 300, 2000)[:, None] + rows[:, None]
    waveform = (9000 * np.sin(2 * np.pi * pitch * time)).astype(np.int16)
    n = len(rows)
    return {
        "waveform": waveform,
        "n_samples": np.full(n, width, np.int32),
        "duration": np.full(n, 0.5, np.float32),
        "rate": np.full(n, 16_000, np.int32),
    }


@pytest.fixture
def whole() -> Callable[[Store], Block]:
    """All clips of a store as one block."""
    return lambda store: Block(0, store.n_clips)
