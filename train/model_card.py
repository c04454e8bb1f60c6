"""What travels with a shipped student: metadata inside its file, and a card for people beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

from east.common.audio import STORED_RATE
from east.train.metrics import MAIN_METRIC
from east.train.trained import Trained

_METRICS = {"accuracy": "accuracy", "map": "mean average precision", "roc_auc": "ROC-AUC"}
_PRECISIONS = {
    "float32": "everything in float32",
    "float16": "weights in float16, computed in float32",
    "int8": "convolutions in 8 bits, the rest in float32",
}

# The lines that a card shows; a test runs them as they are.
_LINES = """\
import json
import wave

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{name}", providers=["CPUExecutionProvider"])
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
window = session.get_inputs()[0].shape[1]

with wave.open("clip.wav") as file:  # one channel, 16 kHz, 16 bits
    audio = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32)
audio = np.rint(audio / 32768 * 32767) / 32767  # the rounding of training
starts = np.linspace(0, max(len(audio) - window, 0), -(-len(audio) // window)).round().astype(int)
audio = np.pad(audio, (0, max(window - len(audio), 0)))  # a short clip ends in silence
windows = [audio[None, start : start + window] for start in starts]
scores = np.mean([session.run(None, {{"audio": w}})[0][0] for w in windows], axis=0)
print(json.dumps(dict(zip(classes, scores.tolist()))))
"""


@dataclass(frozen=True)
class Shipped:
    """An exported file.

    Attributes:
        name: Of the file.
        precision: One of "float32", "float16" and "int8".
        difference: Largest difference between a probability of the float32 graph and PyTorch's.
        size: Bytes of the graph without its metadata.
        clips: Test clips that were scored with the graph; 0: none were.
        scores: Precision -> the main figure on them.
    """

    name: str
    precision: str
    difference: float
    size: int
    clips: int
    scores: dict[str, float | None]


def metadata(trained: Trained, shipped: Shipped) -> dict[str, str]:
    """What the file says of itself; everything but plain text and numbers is JSON."""
    results, teacher = trained.results, trained.teacher
    origin = {
        key: results[key]
        for key in ("dataset", "protocol", "fold", "seed", "system", "student", "control", "labelled")
    }
    kept = ("name", "weights", "supervision", "licences", "citation")
    return {
        "classes": json.dumps(trained.classes),
        "sample_rate": str(STORED_RATE),
        "window": str(trained.student.info.window),
        "task": trained.task,
        "precision": shipped.precision,
        "trained_on": json.dumps({**origin, "store": results["store"], "weights_sha256": trained.sha256}),
        "teacher": json.dumps({key: teacher[key] for key in kept} if teacher else None),
        "results": json.dumps({key: results[key] for key in ("valid", "test", "test_interval")}),
        "measured": json.dumps({"clips": shipped.clips, **shipped.scores} if shipped.clips else None),
        "licence_notes": "\n".join(licence_notes(trained)),
        "software": f"east-audio {version('east-audio')}",
    }


def licence_notes(trained: Trained) -> Iterator[str]:
    """What whoever passes the student on has to know, a sentence each."""
    teacher = trained.teacher
    if teacher is None:
        yield "No teacher took part in the training."
    else:
        licences = teacher["licences"]
        yield (
            f"The teacher {teacher['name']} is not in this file, but the student learnt from its embeddings. "
            f"Its code is under {licences['code']}, its weights are under {licences['weights']}."
        )
        if re.search(r"\bNC\b|non-?commercial", licences["weights"], re.IGNORECASE):
            yield (
                f"The licence of the teacher's weights ({licences['weights']}) excludes commercial use. "
                "Whether that binds a student trained on their embeddings is not settled: "
                "ask their owners before any commercial use of this file."
            )
        if teacher["weights"]["source"] == "random":
            yield "The teacher had random weights: this student is a trial and of no use."
    yield f"The terms of the data set {trained.dataset} are not recorded here: they hold, too."


def model_card(trained: Trained, shipped: Shipped) -> str:
    """The card as Markdown."""
    seconds = trained.student.info.window / STORED_RATE
    kind = (
        "probabilities of classes of which exactly one is right (softmax)"
        if trained.task == "multi-class"
        else "a probability for every class, of which any number may be right (sigmoid)"
    )
    parts = [
        f"# {shipped.name}",
        f"A small convolutional network (`{trained.student.info.name}`, {trained.results['parameters']:,} "
        f"parameters, {shipped.size / 1e6:.2f} MB; {_PRECISIONS[shipped.precision]}) that hears "
        f"{seconds:.2f} s of audio at 16 kHz and answers with {kind}.",
        "## Use",
        f"Input `audio`: (n, {trained.student.info.window}) float32 in [-1, 1], mono, 16 kHz. "
        f"Output `probabilities`: (n, {len(trained.classes)}) float32. The mel spectrogram is inside the "
        "graph. Audio of another rate is to be resampled first; the student was trained on that of soxr's HQ "
        "setting. These lines need NumPy and onnxruntime alone; they score a file of any length by the mean "
        "over windows that cover it. (Some builds of onnxruntime report to their maker: "
        "`ORT_DISABLE_TELEMETRY=1` in the environment keeps them from it.)",
        f"```python\n{_LINES.format(name=shipped.name)}```",
        "## Figures",
        *_figures(trained, shipped),
        "## Classes",
        "\n".join(_classes(trained)),
        "## Training",
        "\n".join(_training(trained)),
        "## Licences",
        "\n".join(f"- {note}" for note in licence_notes(trained)),
        "## Intended use and limits",
        "\n".join(f"- {limit}" for limit in _limits(trained, shipped)),
    ]
    return "\n\n".join(parts) + "\n"


def _figures(trained: Trained, shipped: Shipped) -> Iterator[str]:
    results = trained.results
    rows = ["| split | figure | value | 95 % interval over clips |", "|---|---|---|---|"]
    for split in ("valid", "test"):
        for metric, value in (results[split] or {}).items():
            interval = results["test_interval"][metric] if split == "test" else None
            rows.append(f"| {split} | {_METRICS[metric]} | {_number(value)} | {_bounds(interval)} |")
    yield "\n".join(rows)
    yield "Scored with PyTorch when the student was trained; a file's score is the mean over its windows."
    if shipped.clips:
        scores = ", ".join(f"{name} {_number(value)}" for name, value in shipped.scores.items())
        figure = _METRICS[MAIN_METRIC[trained.task]]
        yield f"This graph, run by onnxruntime on the same {shipped.clips} test clips: {figure} {scores}."
    elif shipped.precision != "float32":
        yield f"What {shipped.precision} costs in score was not measured."
    yield f"On noise, the graph in float32 differs from PyTorch by at most {shipped.difference:.0e}."


def _classes(trained: Trained) -> Iterator[str]:
    results = trained.results
    figure = "accuracy" if trained.task == "multi-class" else "average precision"
    yield f"| class | test {figure} | 95 % interval |"
    yield "|---|---|---|"
    for name in trained.classes:
        value, interval = results["per_class"][name], results["per_class_interval"][name]
        yield f"| {_cell(name)} | {_number(value)} | {_bounds(interval)} |"


def _training(trained: Trained) -> Iterator[str]:
    results, teacher = trained.results, trained.teacher
    fold = f", fold {results['fold']}" if results["fold"] else ""
    yield f"- data set {results['dataset']}, protocol {results['protocol']}{fold}, seed {results['seed']}"
    yield f"- system `{results['system']}` (Ding and Lerch, 2024), {results['epochs']} epochs"
    yield f"- {results['labelled']} labelled training clips, {results['unlabelled']} without labels"
    if teacher is not None:
        weights = teacher["weights"]
        yield f"- teacher {teacher['name']}: {teacher['citation']}"
        yield f"- the teacher's weights: {weights['source']}, {weights['sha256']}"
        if teacher.get("remark"):
            yield f"- of the teacher: {teacher['remark']}"
    if results["control"]:
        yield f"- a control ({results['control']}): every clip had the embedding of another one"
    yield f"- store {results['store']}"
    yield f"- the student's weights: {trained.sha256}"
    yield f"- student: {trained.student.info.citation}"


def _limits(trained: Trained, shipped: Shipped) -> Iterator[str]:
    seconds = trained.student.info.window / STORED_RATE
    yield (
        f"The figures are those of one run on {trained.dataset} and hold for recordings like its test clips. "
        "On others, measure first (`train evaluate`)."
    )
    if shipped.precision == "int8":
        yield "The ranges of its 8 bits come from training clips: on very different recordings it loses more."
    if trained.task == "multi-class":
        yield "It knows no class but these: a sound that is none of them still gets one of them."
    yield "The probabilities are not calibrated: choose thresholds on recordings of your own."
    yield f"It hears {seconds:.2f} s at a time; the mean over windows says what is in a file, not when."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _bounds(interval: list[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
