import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from east.extract.catalogue import catalogue

Run = Callable[..., Any]


def test_the_paper_s_teachers(command: Run, tmp_path: Path) -> None:
    run = command("extract", "teachers", EAST_WEIGHTS=str(tmp_path))
    assert run.stderr == ""
    lines = run.stdout
    for text in (
        "passt: hear21passt 0.0.26\n  hears 32000 Hz, feature 768, supervised\n"
        "  parameters: 86.15 M trainable, 86.15 M in all, 85.34 M without heads\n"
        "  licences: code Apache-2.0, weights Apache-2.0\n"
        "  weights not there: passt-s-f128-p16-s10-ap.476-swa.pt\n",
        "  parameters: 80.75 M trainable, 81.84 M in all, 79.67 M without heads\n",
        "mule: mule-torch 0.2.0\n  hears 16000 Hz, feature 1728, contrastive\n"
        "  parameters: 62.35 M trainable, 62.35 M in all, 62.35 M without heads\n"
        "  licences: code GPL-3.0-only, weights CC-BY-NC-4.0\n",
    ):
        assert text in lines
    assert list(tmp_path.iterdir()) == []


def test_measured_and_as_json(command: Run, tmp_path: Path) -> None:
    options = ("--teacher", "musicnn", "--measure", "--json", "--device", "cpu")
    run = command("extract", "teachers", *options, EAST_WEIGHTS=str(tmp_path))
    (entry,) = json.loads(run.stdout)
    assert entry["name"] == "musicnn"
    assert entry["parameters"]["trainable"] == 787_159
    speed = entry["speed"]
    assert (speed["device"], speed["weights"]) == ("cpu", "random")
    assert speed["times_real_time"] == pytest.approx(10 * speed["clips_per_second"])
    assert speed["iterations_per_second"] > 0


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("east.extract.catalogue.package_version", lambda _: "unknown")
    (entry,) = catalogue(["passt"], measure=True)
    assert (entry.version, entry.speed) == (None, None)


def test_weights_listed_and_fetched(command: Run, tmp_path: Path) -> None:
    listed = command("extract", "weights", EAST_WEIGHTS=str(tmp_path))
    assert f"{tmp_path}/panns/Cnn14_mAP=0.431.pth (not there) from https://zenodo.org" in listed.stdout
    run = command("extract", "weights", "passt", EAST_WEIGHTS=str(tmp_path), https_proxy="http://127.0.0.1:1")
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert f"put passt-s-f128-p16-s10-ap.476-swa.pt into {tmp_path}/passt yourself" in line
    two = command("extract", "weights", "passt", "panns", "--sha256", "0")
    assert (two.returncode, "name one teacher" in two.stderr) == (2, True)
