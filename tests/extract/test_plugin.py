"""A third party's teacher: a separate package that pip installs, found through its entry point."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "rms-teacher"
version = "1.0"
[tool.setuptools]
py-modules = ["rms_teacher"]
[project.entry-points."east.teachers"]
rms = "rms_teacher:Rms"
"""
MODULE = '''
import torch
from east.extract.teacher import PublishedWeights, TeacherInfo

class Rms:
    """The root mean square of every second."""

    info = TeacherInfo(
        name="rms", sample_rate=8000, feature=1, min_samples=8000, windows="1 s every 1 s",
        supervision="none", packages=("rms-teacher",), licences={"code": "MIT"}, citation="",
        weights=PublishedWeights(),
    )

    def __init__(self, device):
        self.device = device

    @classmethod
    def load(cls, weights, device):
        return cls(device)

    def windows(self, audio):
        return audio.unfold(0, 8000, 8000)

    def embed(self, windows):
        return windows.square().mean(dim=1, keepdim=True).sqrt()
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "rms_teacher.py").write_text(MODULE)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    monkeypatch.setenv("PYTHONPATH", str(target))


def test_through_the_command(installed: None, tiny_esc50: Path, tmp_path: Path) -> None:
    extract = str(Path(sys.executable).with_name("extract"))
    store = str(tmp_path / "s.zarr")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [extract, *arguments], env=os.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "20 done, 0 failed" in run("run", "esc50", str(tiny_esc50), store, "--teacher", "rms")
    assert "teacher rms: 20 done" in run("info", store)
    assert "rms: rms-teacher 1.0" in run("teachers")
