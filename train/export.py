"""Shipping a student: one ONNX file that says what it is, and a model card beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from east.common.errors import RefusedError
from east.common.terminal import Quiet, Reporter
from east.train.checkpoint import replace_file
from east.train.metrics import MAIN_METRIC
from east.train.model_card import Shipped, metadata, model_card
from east.train.scoring import Answer
from east.train.stored_clips import StoredClips
from east.train.trained import Trained, load_trained

if TYPE_CHECKING:
    from onnx import ModelProto

PRECISIONS = ("float32", "float16", "int8")

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class ExportConfig:
    """An export.

    Attributes:
        run: Folder of a finished run of a student.
        out: The file to write, *.onnx; the model card gets the same name with .md.
        precision: "float32"; "float16" for weights in half precision; "int8" for convolutions in 8 bits.
        store: The store of the run: its test clips are scored with the file, and its training clips give
            int8 the ranges of its activations. None: nothing is measured.
    """

    run: Path
    out: Path
    precision: str = "float32"
    store: str | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise RefusedError(f"--precision {self.precision!r} is not known: choose from {known}")
        if self.precision == "int8" and self.store is None:
            raise RefusedError("--precision int8 needs training clips to fit the range: give --store STORE")
        if self.out.suffix != ".onnx" or self.out.is_dir():
            raise RefusedError(f"--out {self.out} must be the name of a file that ends with .onnx")


def export(config: ExportConfig, reporter: Reporter | None = None) -> Shipped:
    """Write the file and its model card.

    Raises:
        RefusedError: The run is no finished student, the store is not the run's, or a package is missing.
        EastError: The graph does not answer as PyTorch does; nothing was written.
    """
    reporter = reporter or Quiet()
    _check_packages()
    trained = load_trained(config.run)
    clips = None if config.store is None else StoredClips.of(trained, config.store)
    try:
        config.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"{config.out.parent} cannot be made ({error.strerror})"
        raise RefusedError(f"{reason}: give another --out") from error
    model, shipped = _build(config, trained, clips, reporter)
    del model.metadata_props[:]
    for key, value in metadata(trained, shipped).items():
        model.metadata_props.add(key=key, value=value)
    card = config.out.with_suffix(".md")
    replace_file(card, model_card(trained, shipped).encode())
    replace_file(config.out, model.SerializeToString())
    for line in _lines(shipped, MAIN_METRIC[trained.task]):
        reporter.say(line)
    reporter.say(f"written: {config.out}, {card}")
    return shipped


def _check_packages() -> None:
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        names = ", ".join(missing)
        raise RefusedError(f"train export needs the packages {names}: pip install 'east-audio[export]'")


def _build(
    config: ExportConfig, trained: Trained, clips: StoredClips | None, reporter: Reporter
) -> tuple[ModelProto, Shipped]:
    from east.train.onnx_graph import Runner, build_graph, check_parity
    from east.train.quantise import halve_weights, quantise

    answer, window = Answer(trained.student, trained.task), trained.student.info.window
    reporter.say("building the graph and comparing it with PyTorch")
    model = full = build_graph(answer, window)
    difference = check_parity(full, answer, window)
    if config.precision == "float16":
        model = halve_weights(full)
    elif config.precision == "int8":
        assert clips is not None
        model = quantise(full, clips.training_windows())
    scores = {}
    if clips is not None:
        for name, graph in {"float32": full, config.precision: model}.items():
            reporter.say(f"scoring {len(clips.test)} test clips in {name}")
            scores[name] = clips.figure(Runner(graph))
    n_clips = len(clips.test) if clips is not None else 0
    return model, Shipped(config.out.name, config.precision, difference, model.ByteSize(), n_clips, scores)


def _lines(shipped: Shipped, metric: str) -> Iterator[str]:
    """What was exported, for a terminal."""
    yield f"{shipped.size / 1e6:.2f} MB; in float32 at most {shipped.difference:.0e} from PyTorch, on noise"
    if shipped.clips:
        scores = ", ".join(
            f"{name} {'-' if v is None else format(v, '.4f')}" for name, v in shipped.scores.items()
        )
        yield f"test {metric} of the graph on {shipped.clips} clips: {scores}"
    elif shipped.precision != "float32":
        yield f"what {shipped.precision} costs in score was not measured: add --store STORE"
