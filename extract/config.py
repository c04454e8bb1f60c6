"""What an extraction job is asked for, checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from east.common.errors import RefusedError


@dataclass(frozen=True)
class ExtractConfig:
    """Everything `extract run` is asked for.

    Attributes:
        dataset: Name of the data set.
        root: Where it lies.
        store: Path or URL of the store, made if it does not exist.
        teachers: Names of the teachers.
        device: "auto", "cpu", "cuda" or "cuda:N".
        workers: Worker processes on this machine.
        batch_size: Windows per forward pass.
        dtype: Of the stored frames, "float32" or "float16"; means are float32 always.
        precision: What the networks compute in, "float32", "bf16" or "fp16"; front ends use float32 always.
        weights: Teacher -> path of its weights, "random", or "sha256:HASH" of published ones; else those.
        max_seconds: Longer audio is cut; None: what the data set declares.
        limit: Only the first N clips of the index.
        block: Clips per block at creation; None: 256, fewer in small sets.
        overwrite: Replace the embeddings of the named teachers.
        max_failed: Share of failed clips above which the job counts as failed.
        retry_failed: Do clips again that failed for the audio or one of the named teachers.
        append: Take clips that are new in the index into the store, at its end.
    """

    dataset: str
    root: Path
    store: str
    teachers: tuple[str, ...]
    device: str = "auto"
    workers: int = 1
    batch_size: int = 16
    dtype: str = "float32"
    precision: str = "float32"
    weights: Mapping[str, str] = field(default_factory=dict)
    max_seconds: float | None = None
    limit: int | None = None
    block: int | None = None
    overwrite: bool = False
    max_failed: float = 0.1
    retry_failed: bool = False
    append: bool = False

    def __post_init__(self) -> None:
        if not self.teachers:
            raise RefusedError("no teacher is named: give --teacher NAME")
        if self.dtype not in ("float32", "float16"):
            raise RefusedError(f"--dtype {self.dtype!r} is not known: choose float32 or float16")
        if self.precision not in ("float32", "bf16", "fp16"):
            raise RefusedError(f"--precision {self.precision!r} is not known: choose float32, bf16 or fp16")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise RefusedError(f"--device {self.device!r} is not known: choose auto, cpu, cuda or cuda:N")
        for name in ("workers", "batch_size", "limit", "block"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RefusedError(f"--{name.replace('_', '-')} {value} must be at least 1")
        if self.max_seconds is not None and not 0 < self.max_seconds <= 3600:
            raise RefusedError(f"--max-seconds {self.max_seconds:g} must be above 0 and at most 3600")
        if not 0 <= self.max_failed <= 1:
            raise RefusedError(f"--max-failed {self.max_failed:g} is a share: between 0 and 1")
        stray = sorted(set(self.weights) - set(self.teachers))
        if stray:
            raise RefusedError(f"--weights names {stray[0]!r}, which is not among --teacher")
