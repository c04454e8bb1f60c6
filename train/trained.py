"""A trained student, from its run folder alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from east.common.errors import RefusedError
from east.train.runs import BEST, CONFIG, RESULTS
from east.train.students import STUDENTS, Student
from east.train.systems import SYSTEMS


@dataclass(frozen=True)
class Trained:
    """A finished student.

    Attributes:
        folder: Run folder.
        student: With its best weights, in evaluation mode.
        classes: What its logits stand for.
        task: "multi-class" or "multi-label".
        dataset: What it was trained on.
        index: Hash of the clips of that store.
        teacher: The record of the teacher whose embeddings guided it, with its licences; None without one.
        results: Its `results.json`.
    """

    folder: Path
    student: Student
    classes: list[str]
    task: str
    dataset: str
    index: str
    teacher: dict[str, Any] | None
    results: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the file with its weights."""
        return hashlib.sha256((self.folder / BEST).read_bytes()).hexdigest()


def load_trained(folder: Path) -> Trained:
    """Build the student of a run and load its weights, on the CPU.

    Raises:
        RefusedError: The folder holds no finished run of a student, or is damaged.
    """
    try:
        document = yaml.safe_load((folder / CONFIG).read_text())
        config, origin = document["config"], document["trained_on"]
        system, name, channels = config["system"], config["student"], config["channels"]
        about = {key: origin[key] for key in ("classes", "task", "dataset", "index", "teacher")}
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise RefusedError(f"{folder} is not a run folder: give one that `train run` made") from error
    if not (folder / RESULTS).is_file():
        raise RefusedError(f"{folder} is not finished: finish it with `train run` and --resume")
    if not SYSTEMS[system].student:
        raise RefusedError(f"{folder} holds {system}, which hears embeddings, no audio: give a student's run")
    student = STUDENTS.load(name)(len(about["classes"]), channels)
    _load_weights(student, folder / BEST)
    return Trained(folder, student, results=json.loads((folder / RESULTS).read_text()), **about)


def _load_weights(student: Student, path: Path) -> None:
    assert isinstance(student, nn.Module)
    prefix = "student."  # beside it lies what guided the student
    try:
        weights = {k.removeprefix(prefix): v for k, v in load_file(path).items() if k.startswith(prefix)}
        student.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise RefusedError(f"{path} cannot be read ({reason}): train that run again") from error
    student.eval()
