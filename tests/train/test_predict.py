"""`train predict` as a user runs it, on files of every kind."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from east.common.errors import RefusedError
from east.common.store import Store
from east.train.config import TrainConfig
from east.train.crops import window_starts
from east.train.predict import PredictConfig, Prediction, hear, predict
from east.train.run import train
from east.train.scored_clips import ScoredClips

MakeStore = Callable[..., Store]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Tone = Callable[..., None]

WINDOW = 59_049
SMALL = {"channels": 2, "epochs": 1, "lr": 1e-3}


@pytest.fixture
def run_folder(make_store: MakeStore, tmp_path: Path) -> Path:
    """A run of one epoch; its store is gone."""
    store = make_store()
    train(TrainConfig(store.url, "east-fitnet+linear", "t", out=tmp_path / "run", **SMALL))  # type: ignore[arg-type]
    shutil.rmtree(store.url)
    return tmp_path / "run"


def predicted(run_folder: Path, path: Path) -> Prediction:
    [(_, answer)] = predict(PredictConfig(run_folder, (path,)))
    assert isinstance(answer, Prediction)
    return answer


def json_lines(run: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.parametrize("task", ["multi-class", "multi-label"])
def test_scores_are_those_that_the_run_was_tested_with(
    tmp_path: Path, tone: Tone, command: Run, task: str
) -> None:
    """From files of several formats through extraction and training; then the same files again."""
    label, names = ("label", ["a", "b"]) if task == "multi-class" else ("labels", ["a", "a;b"])
    rows = [f"path,split,{label}"]
    for i in range(12):
        name = f"{i}.{('wav', 'flac', 'ogg', 'mp3')[i % 4]}"
        tone(
            tmp_path / name,
            (0.4, 3.9, 6.1)[i % 3],
            (44_100, 16_000)[i % 2],
            channels=1 + i % 2,
            pitch=300 + 200 * i,
        )
        rows.append(f"{name},{'train' if i < 6 else 'test'},{names[i % 2]}")
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    store, folder = tmp_path / "s.zarr", tmp_path / "run"
    random = ("--teacher", "musicnn", "--weights", "musicnn=random")
    extracted = command("extract", "run", "csv", tmp_path / "clips.csv", store, *random)
    assert extracted.returncode == 0, extracted.stderr
    train(TrainConfig(str(store), "baseline", out=folder, **SMALL))  # type: ignore[arg-type]
    tested = ScoredClips.load(folder / "scores.npz")
    assert len(tested.clip_id) == 6
    paths = [next(tmp_path.glob(f"{Path(clip_id).stem}.*")) for clip_id in tested.clip_id.tolist()]
    run = command("train", "predict", folder, *paths, "--json", "--device", "cpu")
    assert (run.returncode, run.stderr) == (0, "")
    scores = [list(line["scores"].values()) for line in json_lines(run)]
    np.testing.assert_allclose(scores, tested.scores, rtol=0, atol=1e-6)


def test_files_of_every_kind(run_folder: Path, tmp_path: Path, tone: Tone, command: Run) -> None:
    tone(tmp_path / "long.wav", 60, 22_050, channels=2)
    tone(tmp_path / "short.wav", 0.5)
    tone(tmp_path / "song.mp3", 5, 44_100)
    (tmp_path / "letter.txt").write_text("These are words, not music.")
    names = ["long.wav", "none.wav", "short.wav", "letter.txt", "song.mp3"]
    paths = [tmp_path / name for name in names]
    run = command("train", "predict", run_folder, *paths, "--json", "--windows")
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        f"train: {tmp_path / 'none.wav'}: no such file",
        f"train: {tmp_path / 'letter.txt'}: cannot be decoded: Format not recognised.",
    ]
    long, short, song = json_lines(run)
    assert [Path(line["file"]).name for line in (long, short, song)] == ["long.wav", "short.wav", "song.mp3"]
    assert (long["seconds"], short["seconds"]) == (60, 0.5)
    assert song["seconds"] == pytest.approx(5, abs=0.06)
    assert [(w["start"], w["end"]) for w in short["windows"]] == [(0, 0.5)]
    starts, ends = ([window[key] for window in long["windows"]] for key in ("start", "end"))
    assert len(starts) == 17  # of 3.69 s
    assert (starts[0], ends[-1]) == (0, 60)
    assert all(start < end for start, end in zip(starts[1:], ends[:-1], strict=True))  # nothing is left out
    for line in (long, short, song):
        assert sum(line["scores"].values()) == pytest.approx(1, abs=1e-5)
        for name in ("a", "b"):
            mean = np.mean([window["scores"][name] for window in line["windows"]])
            assert line["scores"][name] == pytest.approx(mean, abs=1e-6)


def test_the_table(run_folder: Path, tmp_path: Path, tone: Tone, command: Run) -> None:
    tone(tmp_path / "a.wav", 6)
    run = command("train", "predict", run_folder, tmp_path / "a.wav", "--windows")
    assert (run.returncode, run.stderr) == (0, "")
    answer = predicted(run_folder, tmp_path / "a.wav")
    best = sorted(answer.scores, key=lambda name: -answer.scores[name])
    scores = ", ".join(f"{name} {answer.scores[name]:.3f}" for name in best)
    file, *windows = run.stdout.splitlines()
    assert file == f"{tmp_path / 'a.wav'}      6.00 s  {scores}"
    assert [line.split("  ")[-2].strip() for line in windows] == ["0.00 - 3.69 s", "2.31 - 6.00 s"]
    plain = command("train", "predict", run_folder, tmp_path / "a.wav")
    assert plain.stdout.splitlines() == [file]


def test_all_files_bad(run_folder: Path, tmp_path: Path, command: Run) -> None:
    soundfile.write(tmp_path / "one.wav", np.zeros(1), 44_100)
    run = command("train", "predict", run_folder, tmp_path, tmp_path / ("n" * 300), tmp_path / "one.wav")
    assert run.returncode == 1
    assert run.stdout == ""
    assert [line.rpartition(": ")[2] for line in run.stderr.splitlines()] == [
        "not a regular file",
        "File name too long",
        "the file is shorter than one sample at 16 kHz",
    ]


def test_a_short_file_ends_in_silence(run_folder: Path, tmp_path: Path, tone: Tone) -> None:
    tone(tmp_path / "short.wav", 0.5)
    samples = hear(tmp_path / "short.wav")
    padded = np.pad(samples, (0, WINDOW - len(samples)))
    # As float: a wav of 16 bits has another scale than the store, so its samples move by a step.
    soundfile.write(tmp_path / "padded.wav", padded / 32_767, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(hear(tmp_path / "padded.wav"), padded)
    short, long = (predicted(run_folder, tmp_path / name) for name in ("short.wav", "padded.wav"))
    assert short.scores == long.scores


@pytest.mark.parametrize(
    ("length", "starts"),
    [
        (1, [0]),
        (100, [0]),
        (101, [0, 1]),
        (250, [0, 75, 150]),
        (1000, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]),
    ],
)
def test_windows_are_even_and_as_few_as_cover_everything(length: int, starts: list[int]) -> None:
    assert window_starts(length, 100).tolist() == starts
    assert window_starts(length, 100, at_most=2).tolist() == ([0, length - 100] if length > 100 else [0])


def spoil_weights(run: Path) -> None:
    (run / "best.safetensors").write_bytes(b"half")


def spoil_config(run: Path) -> None:
    (run / "config.yaml").write_text("dear")


def forget_results(run: Path) -> None:
    (run / "results.json").unlink()


def rename_student(run: Path) -> None:
    document = yaml.safe_load((run / "config.yaml").read_text())
    document["config"]["student"] = "sc-cn"
    (run / "config.yaml").write_text(yaml.safe_dump(document))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_weights, "best.safetensors cannot be read"),
        (spoil_config, "is not a run folder"),
        (forget_results, "is not finished"),
        (rename_student, "unknown student 'sc-cn': did you mean 'sc-cnn'?"),
        (shutil.rmtree, "is not a run folder"),
    ],
)
def test_a_bad_run_folder_is_one_line_and_exit_code_2(
    run_folder: Path, tmp_path: Path, tone: Tone, command: Run, spoil: Callable[[Path], None], message: str
) -> None:
    tone(tmp_path / "a.wav", 1)
    spoil(run_folder)
    run = command("train", "predict", run_folder, tmp_path / "a.wav")
    assert (run.returncode, run.stdout) == (2, "")
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_logistic_regression_on_embeddings_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    train(TrainConfig(make_store().url, "teacher-lr", "t", out=tmp_path / "run"))
    with pytest.raises(RefusedError, match="hears embeddings, no audio: give a student's run"):
        list(predict(PredictConfig(tmp_path / "run", (tmp_path / "a.wav",))))


def test_devices(run_folder: Path, tmp_path: Path) -> None:
    config = PredictConfig(run_folder, (tmp_path / "a.wav",))
    with pytest.raises(RefusedError, match="--device 'gpu' is not known"):
        replace(config, device="gpu")
    with pytest.raises(RefusedError, match="--device cuda:99: PyTorch sees"):
        list(predict(replace(config, device="cuda:99")))
