"""The teachers at a glance, and how fast they are on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from east.common.terminal import Quiet, Reporter
from east.extract.teacher import Parameters, Teacher, TeacherInfo, TeacherSpec
from east.extract.teachers import TEACHERS, find_teacher
from east.extract.weights import RANDOM, cached_path, package_version, resolve_weights

_CLIP_SECONDS = 10.0
_CLIPS = 16  # in the measured batch
_SPEND = 3.0  # seconds on each measurement


@dataclass(frozen=True)
class Speed:
    """What was measured on a device.

    Attributes:
        device: Where.
        weights: "published", "file" or "random".
        clips_per_second: Clips of 10 s in full batches, front end included.
        times_real_time: Seconds of audio per second.
        iterations_per_second: Forward passes of one 10 s clip at batch size 1, front end included.
    """

    device: str
    weights: str
    clips_per_second: float
    times_real_time: float
    iterations_per_second: float


@dataclass(frozen=True)
class Entry:
    """One teacher.

    Attributes:
        name: Name on the command line.
        package: What carries the network.
        version: Of the installed package; None where it is missing.
        sample_rate: In Hz.
        feature: Dimension.
        supervision: How it was trained.
        parameters: Sizes.
        licences: Of code and weights.
        weights: "there", or which files are missing.
        speed: Where it was measured.
    """

    name: str
    package: str
    version: str | None
    sample_rate: int
    feature: int
    supervision: str
    parameters: Parameters | None
    licences: dict[str, str]
    weights: str
    speed: Speed | None = None


def catalogue(
    names: Sequence[str] = (), measure: bool = False, device: str = "auto", reporter: Reporter | None = None
) -> list[Entry]:
    """Describe teachers; measuring needs the packages, and takes random weights where there are no others.

    Raises:
        RefusedError: There is no teacher of that name.
    """
    entries = []
    for name in names or TEACHERS.names():
        info = find_teacher(name).info
        installed = _installed(info)
        speed = None
        if measure and installed:
            (reporter or Quiet()).say(f"measuring {name}")
            speed = _measure(name, info, device)
        entries.append(
            Entry(
                name=name,
                package=info.packages[0],
                version=package_version(info.packages[0]) if installed else None,
                sample_rate=info.sample_rate,
                feature=info.feature,
                supervision=info.supervision,
                parameters=info.parameters,
                licences=info.licences,
                weights=_weights_state(info),
                speed=speed,
            )
        )
    return entries


def lines_of(entries: Sequence[Entry]) -> Iterator[str]:
    """The catalogue for a terminal."""
    for entry in entries:
        version = entry.version or f"not installed: pip install 'east-audio[{entry.name}]'"
        yield f"{entry.name}: {entry.package} {version}"
        yield f"  hears {entry.sample_rate} Hz, feature {entry.feature}, {entry.supervision}"
        if entry.parameters is not None:
            yield f"  {_size(entry.parameters)}"
        yield "  licences: " + ", ".join(f"{what} {licence}" for what, licence in entry.licences.items())
        yield f"  weights {entry.weights}"
        if entry.speed is not None:
            yield f"  {_pace(entry.speed)}"


def as_json(entries: Sequence[Entry]) -> str:
    """The catalogue as `train report --teachers` reads it."""
    return json.dumps([asdict(entry) for entry in entries], indent=2)


def _size(parameters: Parameters) -> str:
    millions = [n / 1e6 for n in (parameters.trainable, parameters.total, parameters.without_heads)]
    text = "parameters: {:.2f} M trainable, {:.2f} M in all, {:.2f} M without heads".format(*millions)
    return f"{text} (published)" if parameters.published else text


def _pace(speed: Speed) -> str:
    return (
        f"{speed.clips_per_second:.2f} clips/s of 10 s, {speed.times_real_time:.1f} times real time, "
        f"{speed.iterations_per_second:.2f} iterations/s; {speed.weights} weights, {speed.device}"
    )


def _installed(info: TeacherInfo) -> bool:
    # The version tells: looking for a module by its import name would need that name as well.
    return package_version(info.packages[0]) != "unknown"


def _weights_state(info: TeacherInfo) -> str:
    missing = [file.filename for file in info.weights.files if not cached_path(info, file).is_file()]
    return f"not there: {', '.join(missing)}" if missing else "there"


def _measure(name: str, info: TeacherInfo, device: str) -> Speed | None:
    from east.extract.worker import load_teacher

    there = _weights_state(info) == "there"
    weights = resolve_weights(info, None if there else RANDOM)
    teacher = load_teacher(TeacherSpec(name, info.name, weights, device))
    if info.parameters is not None and teacher.info.parameters is None:
        return None  # random weights in a stand-in for the network: its speed says nothing
    batch = _rate(teacher, _CLIPS)
    return Speed(
        device=str(teacher.device),
        weights=weights.source,
        clips_per_second=batch,
        times_real_time=batch * _CLIP_SECONDS,
        iterations_per_second=_rate(teacher, 1),
    )


def _rate(teacher: Teacher, clips: int) -> float:
    """Clips of 10 s per second in batches of so many clips, after one that does not count."""
    import torch

    from east.extract.block import BATCH_SIZE

    random = torch.Generator().manual_seed(0)
    samples = round(_CLIP_SECONDS * teacher.info.sample_rate)
    audio = [0.1 * torch.randn(samples, generator=random) for _ in range(clips)]
    done, start = -clips, 0.0
    with torch.inference_mode():
        while done <= 0 or time.perf_counter() - start < _SPEND:
            windows = [teacher.windows(clip.to(teacher.device)) for clip in audio]
            for part in torch.split(torch.cat(windows), teacher.info.batch_size or BATCH_SIZE):
                teacher.embed(part).cpu()
            done += clips
            start = start if done > 0 else time.perf_counter()
    return done / (time.perf_counter() - start)
