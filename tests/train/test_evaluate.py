"""`train evaluate`: a student of one data set on the test clips of another."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr
from sklearn.metrics import average_precision_score

from east.common.blocks import State
from east.common.errors import RefusedError
from east.common.store import Store, array_of, open_store
from east.train.config import TrainConfig
from east.train.evaluate import EvaluateConfig, evaluate
from east.train.run import train
from east.train.scored_clips import ScoredClips

MakeStore = Callable[..., Store]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_folder(make_store: MakeStore, tmp_path: Path) -> Path:
    """A run of one epoch, its training store gone."""
    store = make_store("source.zarr", task="multi-label")
    config = TrainConfig(
        store.url, "east-dc+linear", "t", epochs=1, lr=1e-3, channels=2, out=tmp_path / "run"
    )
    train(config)
    shutil.rmtree(store.url)
    return tmp_path / "run"


def results_of(run_folder: Path) -> dict[str, Any]:
    return dict(json.loads((run_folder / "results.json").read_text()))


def other_store(make_store: MakeStore, **header: Any) -> Store:
    """The same sounds under another index, and whatever else is said of the data set."""
    labels = header.pop("labels", None)
    store = make_store("target.zarr", labels=labels, splits=header.pop("splits", None))
    group = zarr.open_group(store.url, mode="r+")
    east = {**dict(group.attrs)["east"], "index_sha256": "f" * 64, "task": "multi-label", **header}  # type: ignore[dict-item]
    group.update_attributes({"east": east})
    return open_store(store.url)


def test_classes_of_equal_names(make_store: MakeStore, run_folder: Path, command: Run) -> None:
    other = other_store(make_store, dataset="other", classes=["b", "c"])
    labels = np.asarray(array_of(other.group, "label")[:])[:, ::-1]
    array_of(zarr.open_group(other.url, mode="r+"), "label")[:] = labels  # its "b" are the sounds of "b"
    run = command("train", "evaluate", run_folder, other.url, "--device", "cpu")
    assert run.returncode == 0, run.stderr
    found = json.loads((run_folder / "evaluation-other.json").read_text())
    assert (found["trained_on"], found["dataset"], found["clips"]) == ("csv", "other", 8)
    assert (found["label_map"]["name"], found["labels"]) == ("equal names", {"b": ["b"]})
    assert (found["system"], found["teacher"], found["student"]) == ("east-dc+linear", "t", "sc-cnn")
    own = results_of(run_folder)["per_class"]["b"]
    assert found["per_class"] == {"b": own}
    assert found["test"]["map"] == own
    assert (
        "east-dc+linear, csv -> other, 8 test clips: average precision per class, then averaged" in run.stdout
    )
    low, high = found["test_interval"]["map"]
    assert run.stdout.splitlines()[-2].split() == ["map", f"{own:.3f}", f"[{low:.3f},", f"{high:.3f}]"]


def test_figures_are_those_of_the_run_itself(make_store: MakeStore, run_folder: Path) -> None:
    """The run's own test clips under another index: the very figures of its results."""
    found = evaluate(EvaluateConfig(run_folder, other_store(make_store).url))
    results = results_of(run_folder)
    for key in ("test", "test_interval", "per_class", "per_class_interval", "left_out_classes"):
        assert found[key] == results[key], key


def test_a_map_of_the_users_with_several_tags(
    make_store: MakeStore, run_folder: Path, tmp_path: Path
) -> None:
    other = other_store(make_store, classes=["low", "any"])
    file = tmp_path / "mine.yaml"
    file.write_text("combine: mean\nlabels:\n  low: [a]\n  any: [a, b]\n")
    found = evaluate(EvaluateConfig(run_folder, other.url, str(file)))
    assert found["labels"] == {"low": ["a"], "any": ["a", "b"]}
    assert found["label_map"]["combine"] == "mean"
    own = ScoredClips.load(run_folder / "scores.npz")  # of the same sounds
    low = average_precision_score(own.labels[:, 0], own.scores[:, 0])
    mean = average_precision_score(own.labels[:, 1], own.scores.mean(axis=1))
    assert found["per_class"] == {"low": pytest.approx(low), "any": pytest.approx(mean)}
    assert json.loads((run_folder / "evaluation-mine.json").read_text()) == found


@pytest.mark.parametrize(
    ("label_map", "name", "file"),
    [
        (None, "magnatagatune-openmic", "evaluation-openmic.json"),
        ("magnatagatune-openmic", "magnatagatune-openmic", "evaluation-openmic.json"),
        (
            "magnatagatune-openmic-nine",
            "magnatagatune-openmic-nine",
            "evaluation-magnatagatune-openmic-nine.json",
        ),
    ],
)
def test_the_map_of_two_data_sets_is_the_default(
    make_store: MakeStore, tmp_path: Path, label_map: str | None, name: str, file: str
) -> None:
    tags = ["cello", "drums", "flute", "guitar", "piano", "synth", "violin", "voice", "vocals"]
    classes = ["cello", "cymbals", "drums", "flute", "guitar", "piano", "synthesizer", "violin", "voice"]
    labels = np.random.default_rng(0).integers(0, 2, size=(48, 9)).astype(np.int8)
    source = make_store("source.zarr", task="multi-label", labels=labels)
    group = zarr.open_group(source.url, mode="r+")
    east: Any = {**dict(group.attrs)["east"], "dataset": "magnatagatune", "classes": tags}  # type: ignore[dict-item]
    group.update_attributes({"east": east})
    train(TrainConfig(source.url, "baseline", channels=2, epochs=1, out=tmp_path / "run"))
    unknown = labels.copy()
    unknown[:47, 3] = -1  # known of one test clip alone: nothing to rank
    target = other_store(make_store, dataset="openmic", classes=classes, labels=unknown)
    found = evaluate(EvaluateConfig(tmp_path / "run", target.url, label_map))
    assert found["label_map"]["name"] == name
    assert "flute" in found["left_out_classes"]
    assert ("cymbals" in found["per_class"]) == (name == "magnatagatune-openmic-nine")
    assert (tmp_path / "run" / file).is_file()


def test_a_store_of_the_same_data_set_gets_a_warning(
    make_store: MakeStore, run_folder: Path, command: Run
) -> None:
    warning = "both are csv: clips that the student has learnt from would flatter it"
    same = command("train", "evaluate", run_folder, other_store(make_store).url)
    assert warning in same.stdout


def test_all_folds_are_test_clips_of_a_stranger(make_store: MakeStore, run_folder: Path) -> None:
    table = np.array([["test"] * 24 + ["train"] * 24, ["train"] * 24 + ["test"] * 24])
    other = other_store(make_store, splits={"2": table}, protocols=["2"])
    assert evaluate(EvaluateConfig(run_folder, other.url))["clips"] == 48


def test_a_multi_class_target_counts_the_clips_of_its_mapped_classes(
    make_store: MakeStore, run_folder: Path, tmp_path: Path
) -> None:
    labels = np.eye(3, dtype=np.int8)[np.arange(48) % 2]
    labels[[10, 11]] = [0, 0, 1]  # two test clips of a class that the student does not know
    other = other_store(make_store, task="multi-class", classes=["a", "b", "c"], labels=labels)
    found = evaluate(EvaluateConfig(run_folder, other.url))
    assert (found["clips"], list(found["test"]), list(found["per_class"])) == (6, ["accuracy"], ["a", "b"])


def test_failed_clips_are_left_out_and_pending_ones_refused(make_store: MakeStore, run_folder: Path) -> None:
    other = other_store(make_store)
    state = array_of(zarr.open_group(other.url, mode="r+"), "audio/state")
    state[10] = State.FAILED
    assert evaluate(EvaluateConfig(run_folder, other.url))["clips"] == 7
    state[10] = State.PENDING
    with pytest.raises(RefusedError, match=r"1 of 48 clips of .* are pending"):
        evaluate(EvaluateConfig(run_folder, other.url))


def test_what_cannot_be_evaluated_is_refused(
    make_store: MakeStore, run_folder: Path, tmp_path: Path, command: Run
) -> None:
    other = other_store(make_store)

    def refused(message: str, run: Path = run_folder, store: Store = other, **changes: Any) -> None:
        with pytest.raises(RefusedError, match=message):
            evaluate(EvaluateConfig(run, store.url, **changes))

    refused("is not a run folder", tmp_path / "none")
    refused("is not a run folder", tmp_path)
    refused("neither a file that can be read nor one of", label_map="mine")
    refused("names cello, .* which the student does not know", label_map="magnatagatune-openmic")
    refused("--device 'gpu' is not known", device="gpu")
    same = make_store("same.zarr", task="multi-label")
    refused("was trained on the clips of", store=same)
    lr = tmp_path / "lr"
    train(TrainConfig(same.url, "teacher-lr", "t", out=lr))
    refused("holds teacher-lr, which hears embeddings", lr)
    strangers = command("train", "evaluate", run_folder, _renamed(other, ["x", "y"]).url)
    assert strangers.returncode == 2
    assert "no class of the store (x, y) is one of the student's (a, b)" in strangers.stderr
    assert len(strangers.stderr.splitlines()) == 1
    _renamed(other, ["a", "b"])
    assert not list(run_folder.glob("evaluation-*"))

    weights = (run_folder / "best.safetensors").read_bytes()
    (run_folder / "best.safetensors").write_bytes(weights[:100])
    refused("best.safetensors cannot be read")
    (run_folder / "best.safetensors").unlink()
    refused("best.safetensors cannot be read")
    (run_folder / "results.json").unlink()
    refused("is not finished")
    document = yaml.safe_load((run_folder / "config.yaml").read_text())
    (run_folder / "config.yaml").write_text(yaml.safe_dump({**document, "config": None}))
    refused("is not a run folder")


def _renamed(store: Store, classes: list[str]) -> Store:
    group = zarr.open_group(store.url, mode="r+")
    east: Any = {**dict(group.attrs)["east"], "classes": classes}  # type: ignore[dict-item]
    group.update_attributes({"east": east})
    return open_store(store.url)
