"""Run folders: what a run is, what it measured, and whether it is finished."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from east.common.errors import RefusedError
from east.common.store import Store
from east.train.config import TrainConfig
from east.train.data import TaskData

RESULTS = "results.json"
CONFIG = "config.yaml"
BEST = "best.safetensors"


class RunFolder:
    """The folder of one run. It is finished when it holds `results.json` of this very configuration.

    Args:
        config: The run.
        store: What it reads.
        data: What it learns.
    """

    def __init__(self, config: TrainConfig, store: Store, data: TaskData) -> None:
        self.config = config
        self.identity = store.identity(config.teacher)
        self.hash = config.hash(self.identity)
        self.path = config.out or Path("runs") / self._name(data)
        self._provenance = _provenance(config, store, data)

    def finished(self) -> dict[str, Any] | None:
        """The results of this very run, if it was carried out before.

        Raises:
            RefusedError: The folder holds another run or something else.
        """
        found = self._found_hash()
        if found is None:
            return None
        if found != self.hash:
            raise RefusedError(f"{self.path} holds another run (its settings differ): give another --out")
        results = self.path / RESULTS
        return dict(json.loads(results.read_text())) if results.is_file() else None

    def start(self) -> None:
        """Make the folder and write what the run is."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RefusedError(
                f"{self.path} cannot be made ({error.strerror}): give another --out"
            ) from error
        for stale in ("metrics.csv", *(p.name for p in self.path.glob("events.out.tfevents.*"))):
            (self.path / stale).unlink(missing_ok=True)
        settings = {key: _plain(value) for key, value in asdict(self.config).items()}
        document = {"hash": self.hash, "config": settings, "trained_on": self._provenance}
        _write(self.path / CONFIG, yaml.safe_dump(document, sort_keys=False))

    def finish(self, results: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """Write the timing, then the results: the sign that the run is finished."""
        _write(self.path / "timing.json", json.dumps(timing, indent=2) + "\n")
        _write(self.path / RESULTS, json.dumps(results, indent=2) + "\n")

    def _name(self, data: TaskData) -> str:
        config = self.config
        student = config.student if config.system_row.student else "none"
        parts = [config.system, config.teacher or "none", student, data.protocol, f"f{data.fold or 0}"]
        return "-".join([*parts, f"s{config.seed}", self.hash])

    def _found_hash(self) -> str | None:
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return None
        try:
            document = yaml.safe_load((self.path / CONFIG).read_text())
            return str(document["hash"])
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise RefusedError(f"{self.path} exists and is not a run folder: give another --out") from error


class MetricsLog:
    """One line per epoch in `metrics.csv`, and the same as TensorBoard scalars."""

    def __init__(self, folder: Path) -> None:
        # Deferred: TensorBoard is slow to import.
        from torch.utils.tensorboard.writer import SummaryWriter

        self.path = folder / "metrics.csv"
        self.writer = SummaryWriter(str(folder))

    def write(self, epoch: int, values: Mapping[str, float | None]) -> None:
        """Add the line of one epoch; every epoch has the same columns, empty where there is no value."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            table = csv.writer(file)
            if new:
                table.writerow(["epoch", *values])
            table.writerow([epoch, *("" if value is None else f"{value:.6g}" for value in values.values())])
        for name, value in values.items():
            if value is not None:
                self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def close(self) -> None:
        """Finish the event file."""
        self.writer.close()


def _provenance(config: TrainConfig, store: Store, data: TaskData) -> dict[str, Any]:
    """What travels with the student: the task, and the teacher with its licences."""
    teacher = asdict(store.teacher_record(config.teacher)) if config.teacher else None
    return {
        "dataset": store.header.dataset,
        "task": data.task,
        "classes": data.classes,
        "store": store.identity(config.teacher),
        "teacher": teacher,
    }


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _write(path: Path, text: str) -> None:
    """Write under another name, then rename: a file is there whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
