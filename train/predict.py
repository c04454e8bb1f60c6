"""What a trained student answers for audio files; nothing is needed but the run folder and the files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from east.common.audio import STORED_RATE, decode, resample, to_int16
from east.common.device import resolve_device
from east.common.errors import AudioError, RefusedError
from east.train.config import check_device
from east.train.crops import as_float, window_starts
from east.train.scoring import Answer
from east.train.trained import Trained, load_trained

_BATCH = 16  # windows at once, so that memory does not follow the length of the file
_SHOWN = 3  # classes in a line of the table

Signal = npt.NDArray[np.int16]
Scores = dict[str, float]
"""Class -> probability."""


@dataclass(frozen=True)
class PredictConfig:
    """Files to score.

    Attributes:
        run: Folder of a finished run of a student.
        audio: wav, flac, ogg or mp3 files of any rate, channel count and length.
        device: "auto", "cpu", "cuda" or "cuda:N".
    """

    run: Path
    audio: tuple[Path, ...]
    device: str = "auto"

    def __post_init__(self) -> None:
        check_device(self.device)
        if not self.audio:
            raise RefusedError("there is nothing to score: name audio files")


class Window(NamedTuple):
    """A part of a file, in seconds, with its scores."""

    start: float
    end: float
    scores: Scores


@dataclass(frozen=True)
class Prediction:
    """What the student answers for a file.

    Attributes:
        seconds: Length of the file.
        scores: The mean over its windows.
        windows: As many evenly spaced ones as cover the whole file. Up to 16 of them, these are the windows
            that the figures in `results.json` are of.
    """

    seconds: float
    scores: Scores
    windows: list[Window]


def predict(config: PredictConfig) -> Iterator[tuple[Path, Prediction | AudioError]]:
    """Score files one after another; one that cannot be used comes with the reason.

    Raises:
        RefusedError: The run is no finished student, or this machine lacks the device.
    """
    device = resolve_device(config.device)
    trained = load_trained(config.run)
    answer = Answer(trained.student, trained.task).to(device)
    for path in config.audio:
        try:
            yield path, _predict_signal(answer, hear(path), trained, device)
        except AudioError as error:
            yield path, error


def hear(path: Path) -> Signal:
    """A file as students hear it, and as the store holds it: mono, 16 kHz, (samples,) int16.

    Raises:
        AudioError: The file cannot be used.
    """
    try:
        audio = decode(path)
    except OSError as error:
        raise AudioError(error.strerror or str(error)) from error
    samples = to_int16(resample(audio.samples, audio.rate, STORED_RATE))
    if not len(samples):
        raise AudioError("the file is shorter than one sample at 16 kHz")
    return samples


@torch.inference_mode()
def _predict_signal(answer: Answer, samples: Signal, trained: Trained, device: torch.device) -> Prediction:
    length, window = len(samples), trained.student.info.window
    starts = window_starts(length, window)
    padded = torch.from_numpy(np.pad(samples, (0, max(window - length, 0))))
    answers = []
    for first in range(0, len(starts), _BATCH):
        batch = [padded[start : start + window] for start in starts[first : first + _BATCH]]
        answers.append(answer(as_float(torch.stack(batch).to(device))).cpu().numpy())
    scores = np.concatenate(answers)  # (window, class)
    mean = scores.mean(axis=0, dtype=np.float64).astype(np.float32)
    windows = [
        Window(start / STORED_RATE, min(start + window, length) / STORED_RATE, _named(trained, row))
        for start, row in zip(starts.tolist(), scores, strict=True)
    ]
    return Prediction(length / STORED_RATE, _named(trained, mean), windows)


def _named(trained: Trained, scores: npt.NDArray[np.float32]) -> Scores:
    return dict(zip(trained.classes, scores.tolist(), strict=True))


def table_lines(path: Path, prediction: Prediction, width: int, windows: bool) -> Iterator[str]:
    """A file's line of the table, with the classes that score best; its windows below, if asked for.

    Args:
        path: The file.
        prediction: Its scores.
        width: Of the column of paths.
        windows: Whether to show the windows.
    """
    yield f"{path!s:<{width}}  {prediction.seconds:>8.2f} s  {_best(prediction.scores)}"
    for window in prediction.windows if windows else ():
        times = f"{window.start:.2f} - {window.end:.2f} s"
        yield f"{times:>{width + 12}}  {_best(window.scores)}"


def json_line(path: Path, prediction: Prediction, windows: bool) -> str:
    """A file's scores of all classes as one line of JSON."""
    document = {"file": str(path), "seconds": prediction.seconds, "scores": prediction.scores}
    if windows:
        document["windows"] = [window._asdict() for window in prediction.windows]
    return json.dumps(document)


def _best(scores: Scores) -> str:
    best = sorted(scores.items(), key=lambda item: -item[1])[:_SHOWN]
    return ", ".join(f"{name} {score:.3f}" for name, score in best)
