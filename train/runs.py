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
from east.train.checkpoint import LAST, replace_file
from east.train.config import TrainConfig
from east.train.data import TaskData

RESULTS = "results.json"
CONFIG = "config.yaml"
BEST = "best.safetensors"
METRICS = "metrics.csv"


class RunFolder:
    """The folder of one run. It is finished when it holds `results.json` of this very configuration.

    Args:
        config: The run.
        store: What it reads.
        data: What it learns.
        root: Where its folder lies, if the configuration does not say.
    """

    def __init__(self, config: TrainConfig, store: Store, data: TaskData, root: Path = Path("runs")) -> None:
        self.config = config
        self.hash = config.hash(store.identity(config.teacher), data.digest)
        self.path = config.out or root / self._name(data)
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
        if not self.config.resume:
            for name in (LAST, BEST, METRICS):
                (self.path / name).unlink(missing_ok=True)
        settings = {key: _plain(value) for key, value in asdict(self.config).items()}
        document = {"hash": self.hash, "config": settings, "trained_on": self._provenance}
        text = yaml.safe_dump(document, sort_keys=False)
        replace_file(self.path / CONFIG, text.encode())

    def finish(self, results: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """Write the timing, then the results: the sign that the run is finished."""
        for name, document in (("timing.json", timing), (RESULTS, results)):
            replace_file(self.path / name, (json.dumps(document, indent=2) + "\n").encode())

    def _name(self, data: TaskData) -> str:
        config = self.config
        student = config.student if config.system_row.student else "none"
        parts = [config.system, config.teacher or "none", student, data.protocol, f"f{data.fold or 0}"]
        return "-".join([*parts, f"s{config.seed}", self.hash])

    def _found_hash(self) -> str | None:
        if not self.path.exists() or (self.path.is_dir() and not _contents(self.path)):
            return None
        try:
            document = yaml.safe_load((self.path / CONFIG).read_text())
            return str(document["hash"])
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise RefusedError(f"{self.path} exists and is not a run folder: give another --out") from error


class MetricsLog:
    """One line per epoch in `metrics.csv`, and the same as TensorBoard scalars.

    Args:
        folder: Run folder.
        epochs: Epochs done before; what was logged of later ones is taken back.
    """

    def __init__(self, folder: Path, epochs: int = 0) -> None:
        # Deferred: TensorBoard is slow to import.
        from torch.utils.tensorboard.writer import SummaryWriter

        self.path = folder / METRICS
        if self.path.exists():
            lines = self.path.read_text().splitlines(keepends=True)[: epochs + 1]
            replace_file(self.path, "".join(lines).encode())
        if not epochs:
            for stale in folder.glob("events.out.tfevents.*"):
                stale.unlink()
        self.writer = SummaryWriter(str(folder), purge_step=epochs + 1)

    def write(self, epoch: int, values: Mapping[str, float | None]) -> None:
        """Add the line of one epoch; every epoch has the same columns, empty where there is no value."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
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


def _contents(folder: Path) -> list[Path]:
    """What is in a folder, without files that were cut off before they got their name."""
    return [path for path in folder.iterdir() if path.suffix != ".partial"]


def _provenance(config: TrainConfig, store: Store, data: TaskData) -> dict[str, Any]:
    """What travels with the student: the task, and the teacher with its licences."""
    teacher = asdict(store.teacher_record(config.teacher)) if config.teacher else None
    return {
        "dataset": store.header.dataset,
        "index": store.header.index_sha256,
        "task": data.task,
        "classes": data.classes,
        "store": store.identity(config.teacher),
        "teacher": teacher,
    }


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
