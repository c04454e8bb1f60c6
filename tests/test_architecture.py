"""The shape of the project: arrows between folders, light imports, and what an installation contains."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from east.extract.teachers import TEACHERS

ROOT = Path(__file__).parents[1]
PACKAGES = ("common", "data", "extract", "train")
ALLOWED = {
    "common": {"common"},
    "data": {"common", "data"},
    "extract": {"common", "data", "extract"},
    "train": {"common", "train"},
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Names of every module imported anywhere in a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_one_way(package: str) -> None:
    for path in modules(package):
        ours = {name.split(".")[1] for name in imported(path) if name.startswith("east.")}
        assert ours <= ALLOWED[package], path


def test_dask_is_in_one_file_alone() -> None:
    users = {
        p.name for package in PACKAGES for p in modules(package) if imported(p) & {"dask", "distributed"}
    }
    assert users == {"cluster.py"}


def test_no_teacher_is_named_outside_its_own_files() -> None:
    for path in [*modules("common"), *modules("data"), *modules("extract"), *modules("train")]:
        if path.parent.name == "teachers":
            continue
        assert not set(TEACHERS.names()) & set(re.findall(r"\w+", path.read_text())), path


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("cli", ["east.extract.cli", "east.train.cli"])
def test_a_command_line_starts_light(cli: str) -> None:
    assert not modules_after(f"import {cli}") & {
        "torch",
        "zarr",
        "numpy",
        "dask",
        "distributed",
        "tensorflow",
    }


def test_training_loads_no_teacher_no_tensorflow_no_dask() -> None:
    loaded = modules_after("import east.train.run, east.train.loop")
    assert not loaded & {"dask", "distributed", "tensorflow", "east.extract", "east.data"}


def test_an_index_is_read_without_torch() -> None:
    assert "torch" not in modules_after(
        "import east.extract.job, east.data.catalogue, east.extract.teachers.musicnn;"
        "list(east.data.catalogue.describe_datasets())"
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in the wheel, built from a copy so that nothing is left in the working tree."""
    source = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(source / name)], check=True)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(source),
        str(source),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    with zipfile.ZipFile(next(source.glob("*.whl"))) as archive:
        return set(archive.namelist())


def test_wheel_holds_every_module_and_all_package_data(wheel: set[str]) -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                assert f"east/{path.relative_to(ROOT)}" in wheel, path


def test_no_generic_top_level_module_is_installed(wheel: set[str]) -> None:
    top = {name.split("/")[0] for name in wheel}
    assert {name for name in top if not name.endswith(".dist-info")} == {"east"}


def test_packages_are_listed_in_full() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent for package in PACKAGES for path in modules(package)}
    assert set(listed) == {"east." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}


def test_console_scripts() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(scripts) == {"extract", "train", "east-extract", "east-train"}
    for name in scripts:
        executable = Path(sys.executable).with_name(name)
        done = subprocess.run([str(executable), "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert "Usage" in done.stdout
