"""`train export`: what the file answers, what it says of itself, and the card beside it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
import yaml
from torch import Tensor, nn

from east.common.errors import EastError, RefusedError
from east.common.onnx_runtime import import_onnxruntime
from east.common.store import Store
from east.train.config import TrainConfig
from east.train.crops import as_float, window_keys
from east.train.export import ExportConfig, export
from east.train.model_card import licence_notes
from east.train.onnx_graph import build_graph, check_parity
from east.train.predict import PredictConfig, Prediction, hear, predict
from east.train.run import train
from east.train.scoring import Answer
from east.train.stored_clips import StoredClips
from east.train.trained import load_trained

MakeStore = Callable[..., Store]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Tone = Callable[..., None]
Audio = npt.NDArray[np.float32]


def run_of(store: Store, folder: Path, student: str = "sc-cnn", **changes: Any) -> Path:
    settings = {"channels": 4, "epochs": 1, "lr": 1e-3, **changes}
    train(TrainConfig(store.url, "east-dc+linear", "t", student=student, out=folder, **settings))
    return folder


def answers(path: Path, audio: Audio) -> Audio:
    session = import_onnxruntime().InferenceSession(path, providers=["CPUExecutionProvider"])
    found: Audio = session.run(None, {"audio": audio})[0]
    return found


def recordings(esc10: Path, window: int, n: int) -> Audio:
    """The beginnings of real clips, (n, window)."""
    paths = sorted((esc10 / "audio").iterdir())[:: 400 // n][:n]
    heard = [hear(path)[:window].astype(np.float32) / 32_767 for path in paths]
    return np.stack([np.pad(audio, (0, window - len(audio))) for audio in heard])


def kinds_of_weights(path: Path) -> dict[str, set[int]]:
    """Operation -> data types in which weights of more than one dimension are kept."""
    model = onnx.load(path)
    kept = {array.name: array for array in model.graph.initializer if len(array.dims) > 1}
    # A cast, or a step back from 8 bits, may stand between the weights and who uses them.
    source = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type in ("Cast", "DequantizeLinear")}
    kinds: dict[str, set[int]] = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weights = source.get(node.input[1], node.input[1])
            kinds.setdefault(node.op_type, set()).add(kept[weights].data_type)
    return kinds


FLOAT, HALF, INT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8


@pytest.mark.parametrize("student", ["sc-cnn", "hcnn"])
def test_answers_are_those_of_pytorch_on_real_clips(
    make_store: MakeStore, tmp_path: Path, esc10: Path, student: str
) -> None:
    run = run_of(make_store(), tmp_path / "run", student)
    trained = load_trained(run)
    window = trained.student.info.window
    answer = Answer(trained.student, trained.task)
    export(ExportConfig(run, tmp_path / "float32.onnx"))
    assert kinds_of_weights(tmp_path / "float32.onnx") == {"Conv": {FLOAT}, "Gemm": {FLOAT}}
    for n in (1, 5):
        audio = recordings(esc10, window, n)
        with torch.inference_mode():
            expected = answer(torch.from_numpy(audio)).numpy()
        found = answers(tmp_path / "float32.onnx", audio)
        assert found.shape == (n, 2)
        assert np.abs(found - expected).max() <= 1e-4


@pytest.mark.parametrize("student", ["sc-cnn", "hcnn"])
def test_smaller_files_and_what_they_cost(make_store: MakeStore, tmp_path: Path, student: str) -> None:
    store = make_store()
    run = run_of(store, tmp_path / "run", student, epochs=8, lr=1e-2)
    trained = load_trained(run)
    accuracy = trained.results["test"]["accuracy"]
    clips = StoredClips.of(trained, store.url)
    keys = window_keys(clips.lengths, clips.test, clips.reader.window)  # a window per clip
    audio = np.concatenate([as_float(crops).numpy() for _, crops in clips.reader.windows(keys)])
    with torch.inference_mode():
        expected = Answer(trained.student, trained.task)(torch.from_numpy(audio)).numpy()
    kept = {"float16": {"Conv": {HALF}, "Gemm": {HALF}}, "int8": {"Conv": {INT8}, "Gemm": {FLOAT}}}
    for precision, bound in (("float16", 0.01), ("int8", 0.1)):
        path = tmp_path / f"{precision}.onnx"
        shipped = export(ExportConfig(run, path, precision, store.url))
        onnx.checker.check_model(path)
        assert kinds_of_weights(path) == kept[precision]
        found = answers(path, audio)
        assert 0 < np.abs(found - expected).max() < bound
        right = found.argmax(axis=1) == clips.scored.labels.argmax(axis=1)
        assert shipped.scores == {"float32": accuracy, precision: right.mean()}
        assert shipped.clips == len(right) == 8


def test_the_file_says_what_it_is(make_store: MakeStore, tmp_path: Path, command: Run) -> None:
    store = make_store(task="multi-label")
    run = run_of(store, tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    done = command("train", "export", run, "--out", tmp_path / "new" / "s.onnx", "--precision", "float16")
    assert (done.returncode, done.stderr) == (0, "")
    assert "what float16 costs in score was not measured: add --store STORE" in done.stdout
    assert (
        done.stdout.splitlines()[-1] == f"written: {tmp_path / 'new' / 's.onnx'}, {tmp_path / 'new' / 's.md'}"
    )
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"s.onnx", "s.md"}
    session = import_onnxruntime().InferenceSession(tmp_path / "new" / "s.onnx")
    [given], [answered] = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape, given.type) == ("audio", ["n", 59_049], "tensor(float)")
    assert (answered.name, answered.shape) == ("probabilities", ["n", 2])
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["classes"]) == ["a", "b"]
    assert (said["sample_rate"], said["window"], said["task"]) == ("16000", "59049", "multi-label")
    assert said["precision"] == "float16"
    origin = json.loads(said["trained_on"])
    assert {key: origin[key] for key in ("dataset", "protocol", "system", "student", "store")} == {
        "dataset": "csv",
        "protocol": "given",
        "system": "east-dc+linear",
        "student": "sc-cnn",
        "store": results["store"],
    }
    assert origin["weights_sha256"] == load_trained(run).sha256
    teacher = json.loads(said["teacher"])
    assert (teacher["name"], teacher["weights"]) == ("t", {"source": "file", "sha256": "1" * 64})
    assert teacher["licences"] == {"code": "MIT", "weights": "MIT"}
    assert json.loads(said["results"])["test"] == results["test"]
    assert json.loads(said["measured"]) is None
    assert "weights are under MIT" in said["licence_notes"]


def test_the_same_run_gives_the_same_bytes_and_none_of_this_machine(
    make_store: MakeStore, tmp_path: Path
) -> None:
    run = run_of(make_store(), tmp_path / "run")
    for name in ("one", "two"):
        export(ExportConfig(run, tmp_path / name / "s.onnx"))
    content = (tmp_path / "one" / "s.onnx").read_bytes()
    assert content == (tmp_path / "two" / "s.onnx").read_bytes()
    for folder in (str(tmp_path), str(Path(__file__).parents[2]), sys.prefix, ".py"):
        assert folder.encode() not in content


def card_lines(card: Path) -> str:
    [lines] = re.findall(r"```python\n(.*?)```", card.read_text(), re.DOTALL)
    return str(lines)


def predicted(run: Path, path: Path) -> dict[str, float]:
    [(_, answer)] = predict(PredictConfig(run, (path,), "cpu"))
    assert isinstance(answer, Prediction)
    return answer.scores


def test_the_lines_in_the_card_answer_as_predict_does(
    make_store: MakeStore, tmp_path: Path, tone: Tone
) -> None:
    run = run_of(make_store(), tmp_path / "run")
    export(ExportConfig(run, tmp_path / "student.onnx"))
    lines = card_lines(tmp_path / "student.md")
    for seconds in (0.5, 12):
        tone(tmp_path / "clip.wav", seconds)  # 16 kHz, 16 bits
        done = subprocess.run(
            [sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        expected, found = predicted(run, tmp_path / "clip.wav"), json.loads(done.stdout)
        assert list(found) == list(expected)
        np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_lines_need_nothing_but_numpy_and_onnxruntime(
    make_store: MakeStore, tmp_path: Path, tone: Tone
) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "pip"), "install", "--quiet", "numpy", "onnxruntime"]
    if subprocess.run(pip, capture_output=True, check=False).returncode:
        pytest.skip("no package registry is reachable")
    run = run_of(make_store(), tmp_path / "run")
    export(ExportConfig(run, tmp_path / "student.onnx"))
    tone(tmp_path / "clip.wav", 12)
    lines = [str(venv / "bin" / "python"), "-c", card_lines(tmp_path / "student.md")]
    done = subprocess.run(lines, cwd=tmp_path, capture_output=True, text=True, check=True)
    expected = predicted(run, tmp_path / "clip.wav")
    np.testing.assert_allclose(
        list(json.loads(done.stdout).values()), list(expected.values()), rtol=0, atol=1e-5
    )


def test_the_card(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(task="multi-label")
    run = run_of(store, tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    export(ExportConfig(run, tmp_path / "s.onnx", store=store.url))
    card = (tmp_path / "s.md").read_text()
    value, (low, high) = results["test"]["map"], results["test_interval"]["map"]
    assert f"| test | mean average precision | {value:.3f} | {low:.3f} to {high:.3f} |" in card
    assert f"on the same 8 test clips: mean average precision float32 {value:.3f}." in card
    assert "| a | " in card
    assert "system `east-dc+linear` (Ding and Lerch, 2024), 1 epochs" in card
    assert "a probability for every class, of which any number may be right (sigmoid)" in card
    assert "It knows no class but these" not in card


def test_licences(make_store: MakeStore, tmp_path: Path) -> None:
    run = run_of(make_store(), tmp_path / "run")

    def notes(licence: str, source: str = "published") -> str:
        document = yaml.safe_load((run / "config.yaml").read_text())
        document["trained_on"]["teacher"]["licences"] = {"code": "GPL-3.0-only", "weights": licence}
        document["trained_on"]["teacher"]["weights"]["source"] = source
        (run / "config.yaml").write_text(yaml.safe_dump(document))
        return "\n".join(licence_notes(load_trained(run)))

    assert "excludes commercial use" in notes("CC-BY-NC-4.0")
    assert "excludes commercial use" in notes("for non-commercial research only")
    assert "excludes commercial use" not in notes("CC-BY-4.0")
    assert "Its code is under GPL-3.0-only, its weights are under ISC." in notes("ISC")
    assert "had random weights" in notes("ISC", "random")
    baseline = tmp_path / "baseline"
    train(TrainConfig(make_store("b.zarr").url, "baseline", out=baseline, channels=2, epochs=1))
    assert "\n".join(licence_notes(load_trained(baseline))).startswith("No teacher took part")


def test_what_is_refused(make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, out = run_of(make_store(), tmp_path / "run"), tmp_path / "out" / "s.onnx"
    with pytest.raises(RefusedError, match="--precision 'int4' is not known: choose from float32"):
        ExportConfig(run, out, "int4")
    with pytest.raises(RefusedError, match="give --store STORE"):
        ExportConfig(run, out, "int8")
    with pytest.raises(RefusedError, match=r"must be the name of a file that ends with \.onnx"):
        ExportConfig(run, tmp_path / "s.pt")
    other = make_store("other.zarr", task="multi-label")
    with pytest.raises(RefusedError, match=r"was not trained from .*other\.zarr"):
        export(ExportConfig(run, out, store=other.url))
    with pytest.raises(RefusedError, match="cannot be made"):
        export(ExportConfig(run, run / "config.yaml" / "s.onnx"))
    monkeypatch.setattr("east.train.export.find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(
        RefusedError, match=r"needs the packages onnxscript: pip install 'east-audio\[export\]'"
    ):
        export(ExportConfig(run, out))
    assert not out.parent.exists()


class Fixed(nn.Module):
    """A student whose graph PyTorch makes for the batch that it is traced with."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(10, 2)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        return audio, self.dense(audio.reshape(len(audio), 10))


def test_a_graph_for_one_batch_size_alone_is_refused() -> None:
    answer = Answer(Fixed(), "multi-class")  # type: ignore[arg-type]
    with pytest.raises(EastError, match="the graph does not run on 1 windows"):
        check_parity(build_graph(answer, 10), answer, 10)


class Noisy(nn.Module):
    """A student that answers otherwise in PyTorch than in its graph."""

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        return audio, audio[:, :2] + (0.0 if torch.compiler.is_exporting() else 1.0) * audio[:, 1:3]


def test_a_graph_that_answers_otherwise_is_refused() -> None:
    answer = Answer(Noisy(), "multi-class")  # type: ignore[arg-type]
    with pytest.raises(EastError, match="differs from PyTorch by"):
        check_parity(build_graph(answer, 10), answer, 10)
