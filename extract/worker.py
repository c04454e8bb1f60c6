"""What runs in a worker process: teachers loaded once and kept, blocks processed one after another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from east.common.blocks import Block
from east.common.device import resolve_device
from east.common.store import open_store
from east.extract.block import BlockReport, process_block
from east.extract.teacher import Teacher, TeacherInfo, TeacherSpec
from east.extract.teachers import find_teacher
from east.extract.weights import package_version

_FITTING: dict[TeacherSpec, int] = {}
"""Batch sizes that were found to fit, kept so that memory runs out once and not in every block."""


@dataclass(frozen=True)
class BlockTask:
    """What a worker needs to know to process any block of a job."""

    store: str
    root: Path
    teachers: tuple[TeacherSpec, ...]
    batch_size: int
    precision: str


@dataclass(frozen=True)
class TeacherFacts:
    """What only a loaded teacher tells.

    Attributes:
        info: Complete, also where some of it is known after loading only.
        n_frames: Frames of a clip of the longest length.
        versions: Python package -> version.
        device: Where it runs.
    """

    info: TeacherInfo
    n_frames: int
    versions: dict[str, str]
    device: str


def run_block(task: BlockTask, block: Block) -> BlockReport:
    """Process one block of a job."""
    teachers = {spec.name: load_teacher(spec) for spec in task.teachers}
    store = open_store(task.store, mode="r+")
    asked = {name: teacher.info.batch_size or task.batch_size for name, teacher in teachers.items()}
    sizes = {spec.name: min(asked[spec.name], _FITTING.get(spec, asked[spec.name])) for spec in task.teachers}
    report = process_block(
        block, teachers, store, root=task.root, batch_sizes=sizes, precision=task.precision
    )
    halved = {s: report.batch_sizes[s.name] for s in task.teachers if s.name in report.batch_sizes}
    _FITTING.update({spec: size for spec, size in halved.items() if size < asked[spec.name]})
    return report


def teacher_facts(spec: TeacherSpec, max_seconds: float) -> TeacherFacts:
    """Load a teacher and ask it about a clip of that length."""
    teacher = load_teacher(spec)
    info = teacher.info
    samples = max(round(max_seconds * info.sample_rate), info.min_samples)
    with torch.inference_mode():
        n_frames = len(teacher.windows(torch.zeros(samples, device=teacher.device)))
    versions = {package: package_version(package) for package in ("east-audio", *info.packages)}
    return TeacherFacts(info, n_frames, versions, str(teacher.device))


@cache
def load_teacher(spec: TeacherSpec) -> Teacher:
    """Load a teacher, once per process."""
    # cuDNN would otherwise compute float32 convolutions in TF32, and front ends compute their STFT as one.
    torch.backends.cudnn.allow_tf32 = False
    return find_teacher(spec.plugin).load(spec.weights, resolve_device(spec.device))
