"""`extract verify` finds every kind of damage; the repaired store, run again, is the one that it was."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from east.common.errors import EastError, RefusedError
from east.common.store import open_store
from east.extract.job import ExtractResult
from east.extract.lock import sharing
from east.extract.repair import VerifyConfig, verify

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Job = Callable[..., ExtractResult]
Same = Callable[[Path, Path], None]

BLOCK_ARRAYS = {
    "audio": ["waveform/c/1/0", "n_samples/c/1", "duration/c/1", "rate/c/1", "error/c/1"],
    "teachers/tiny": ["mean/c/1/0", "frames/c/1/0/0", "n_frames/c/1", "error/c/1"],
}
CHUNKS = [(part, chunk) for part, chunks in BLOCK_ARRAYS.items() for chunk in chunks]
STATES = [(part, "state/c/1") for part in BLOCK_ARRAYS]
INDEX_CHUNKS = ["clip_id/c/0", "path/c/0", "fold/c/0", "label/c/0/0", "splits/3-1-1/c/0/0"]


@pytest.fixture(scope="module")
def whole(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory, tiny_job: Job) -> Path:
    """A finished store of 20 clips in blocks of 8, two of which failed; to be read only."""
    store = tmp_path_factory.mktemp("whole") / "whole.zarr"
    tiny_job("esc50", tiny_root, store, block=8, max_seconds=1.0)
    return store


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    """A copy of it to be damaged."""
    shutil.copytree(whole, tmp_path / "store.zarr")
    return tmp_path / "store.zarr"


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def change(store: Path, array: str, at: Any, value: Any) -> None:
    """Write through Zarr, so that all checksums are right."""
    zarr.open_array(store / array, mode="r+")[at] = value


def edit(file: Path, *keys: str, value: object) -> None:
    """Change one value in a zarr.json."""
    content = json.loads(file.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    file.write_text(json.dumps(content))


def again(store: Path) -> dict[str, list[int]]:
    """What verify finds: part -> clips to do again."""
    found: dict[str, set[int]] = {}
    with pytest.raises(EastError, match=r"is damaged; `extract verify .* --repair`"):
        verify(VerifyConfig(str(store)))
    for fault in verify(VerifyConfig(str(store), repair=True)):
        found.setdefault(fault.part, set()).update(fault.clips)
    return {part: sorted(clips) for part, clips in found.items()}


def test_a_whole_store_is_whole(whole: Path, tiny_root: Path) -> None:
    assert verify(VerifyConfig(str(whole))) == []
    assert verify(VerifyConfig(str(whole), dataset="esc50", root=tiny_root)) == []


@pytest.mark.parametrize(
    ("part", "chunk", "damage"),
    [(*chunk, flip) for chunk in CHUNKS + STATES]
    + [(*chunk, damage) for chunk in (CHUNKS[0], CHUNKS[5], STATES[0]) for damage in (empty, halve)],
)
def test_a_damaged_chunk(
    store: Path,
    whole: Path,
    tiny_root: Path,
    tiny_job: Job,
    same_arrays: Same,
    part: str,
    chunk: str,
    damage: Callable[[Path], None],
) -> None:
    damage(store / part / chunk)
    assert again(store) == {part: list(range(8, 16))}
    assert tiny_job("esc50", tiny_root, store, max_seconds=1.0).computed == 8
    assert verify(VerifyConfig(str(store))) == []
    same_arrays(whole, store)


@pytest.mark.parametrize(("part", "chunk"), CHUNKS)
def test_a_missing_chunk(
    store: Path, whole: Path, tiny_root: Path, tiny_job: Job, same_arrays: Same, part: str, chunk: str
) -> None:
    (store / part / chunk).unlink()
    assert again(store) == {part: list(range(8, 16))}
    tiny_job("esc50", tiny_root, store, max_seconds=1.0)
    same_arrays(whole, store)


@pytest.mark.parametrize("part", list(BLOCK_ARRAYS))
def test_states_that_are_missing_claim_nothing(
    store: Path, whole: Path, tiny_root: Path, tiny_job: Job, same_arrays: Same, part: str, command: Run
) -> None:
    (store / part / "state/c/1").unlink()
    run = command("extract", "verify", store)
    assert run.returncode == 0
    assert f"8 clips of {part.removeprefix('teachers/')} are pending" in run.stdout
    tiny_job("esc50", tiny_root, store, max_seconds=1.0)
    same_arrays(whole, store)


# part, array, rows, value -> clips to do again
VALUES = [
    ("audio", "n_samples", 3, 0, [3]),
    ("audio", "n_samples", 3, 16_001, [3]),
    ("audio", "n_samples", 3, 6_000, [3]),
    ("audio", "duration", 4, np.nan, [4]),
    ("audio", "rate", 4, -1, [4]),
    ("audio", "state", 5, 7, [5]),
    ("audio", "state", 0, 1, [0]),
    ("audio", "state", 6, 2, [6]),
    ("teachers/tiny", "mean", (11, 1), np.nan, [11]),
    ("teachers/tiny", "mean", (11, 1), 3.0, [11]),
    ("teachers/tiny", "frames", (12, 0, 0), np.inf, [12]),
    ("teachers/tiny", "frames", (12, 0, 0), 9.0, [12]),
    ("teachers/tiny", "frames", (12, 9, 0), 9.0, [12]),
    ("teachers/tiny", "n_frames", 13, 0, [13]),
    ("teachers/tiny", "state", 9, 1, [9]),
]


@pytest.mark.parametrize(("part", "array", "at", "value", "clips"), VALUES)
def test_values_that_cannot_be(
    store: Path,
    whole: Path,
    tiny_root: Path,
    tiny_job: Job,
    same_arrays: Same,
    part: str,
    array: str,
    at: object,
    value: object,
    clips: list[int],
) -> None:
    change(store, f"{part}/{array}", at, value)
    assert again(store) == {part: clips}
    others = {p: p.stat().st_mtime_ns for p in store.rglob("c/*") if p.is_file() and f"{part}/" not in str(p)}
    tiny_job("esc50", tiny_root, store, max_seconds=1.0)
    same_arrays(whole, store)
    assert {p: p.stat().st_mtime_ns for p in others} == others


# file, keys and value in its zarr.json
METADATA = [
    ("audio/waveform", ("shape",), [19, 16_000]),
    ("audio/state", ("shape",), [19]),
    ("audio/n_samples", ("data_type",), "int16"),
    ("audio/rate", ("dimension_names",), ["clap"]),
    ("teachers/tiny/mean", ("shape",), [20, 2]),
    ("teachers/tiny/frames", ("shape",), [20, 6, 3]),
    ("teachers/tiny", ("attributes", "teacher", "dtype"), "float16"),
    ("teachers/tiny", ("attributes", "teacher", "name"), "other"),
    ("teachers/tiny", ("attributes", "teacher"), {}),
    ("teachers/tiny", ("attributes",), {}),
]


@pytest.mark.parametrize(("node", "keys", "value"), METADATA)
def test_shapes_and_attributes_that_disagree(
    store: Path,
    whole: Path,
    tiny_root: Path,
    tiny_job: Job,
    same_arrays: Same,
    node: str,
    keys: tuple[str, ...],
    value: object,
) -> None:
    edit(store / node / "zarr.json", *keys, value=value)
    part = "audio" if node.startswith("audio") else "teachers/tiny"
    assert again(store) == {part: list(range(20))}
    tiny_job("esc50", tiny_root, store, max_seconds=1.0)
    assert verify(VerifyConfig(str(store))) == []
    same_arrays(whole, store)


@pytest.mark.parametrize("node", ["audio", "audio/rate", "teachers/tiny", "teachers/tiny/state"])
@pytest.mark.parametrize("damage", [halve, Path.unlink])
def test_a_broken_or_missing_zarr_json(
    store: Path,
    whole: Path,
    tiny_root: Path,
    tiny_job: Job,
    same_arrays: Same,
    node: str,
    damage: Callable[[Path], None],
) -> None:
    damage(store / node / "zarr.json")
    assert again(store) == {"audio" if node.startswith("audio") else "teachers/tiny": list(range(20))}
    tiny_job("esc50", tiny_root, store, max_seconds=1.0)
    same_arrays(whole, store)


@pytest.mark.parametrize("chunk", INDEX_CHUNKS)
@pytest.mark.parametrize("damage", [flip, empty, Path.unlink])
def test_what_came_from_the_index_is_written_anew_from_it(
    store: Path, whole: Path, tiny_root: Path, same_arrays: Same, chunk: str, damage: Callable[[Path], None]
) -> None:
    damage(store / chunk)
    with pytest.raises(EastError, match="--repair --from DATASET ROOT"):
        verify(VerifyConfig(str(store), repair=True))
    verify(VerifyConfig(str(store), repair=True, dataset="esc50", root=tiny_root))
    assert verify(VerifyConfig(str(store), dataset="esc50", root=tiny_root)) == []
    same_arrays(whole, store)


@pytest.mark.parametrize(
    ("array", "at", "value"),
    [("clip_id", 3, "x"), ("path", 3, "x"), ("fold", 3, 5), ("label", 3, 1), ("splits/4-1", (2, 3), "test")],
)
def test_values_that_differ_from_the_index(
    store: Path, whole: Path, tiny_root: Path, same_arrays: Same, array: str, at: object, value: object
) -> None:
    change(store, array, at, value)
    source = {"dataset": "esc50", "root": tiny_root}
    with pytest.raises(EastError, match="what came from the index"):
        verify(VerifyConfig(str(store), **source))  # type: ignore[arg-type]
    verify(VerifyConfig(str(store), repair=True, **source))  # type: ignore[arg-type]
    same_arrays(whole, store)


def test_classes_that_differ_from_the_index(store: Path, tiny_root: Path) -> None:
    edit(store / "zarr.json", "attributes", "east", "classes", value=["saw", "cow"])
    verify(VerifyConfig(str(store), repair=True, dataset="esc50", root=tiny_root))
    assert open_store(str(store)).header.classes == ["cow", "saw"]


def test_a_header_that_lost_something_is_never_taken_for_a_store_that_was_not_finished(
    store: Path, tiny_root: Path, tiny_job: Job
) -> None:
    edit(store / "zarr.json", "attributes", "east", value={"schema": 1, "dataset": "esc50"})
    with pytest.raises(RefusedError, match="its attributes lack block, classes, created"):
        tiny_job("esc50", tiny_root, store, max_seconds=1.0)
    assert (store / "audio/waveform/c/0/0").is_file()


def test_another_data_set_repairs_nothing(store: Path, tiny_esc50: Path) -> None:
    flip(store / "label/c/0/0")
    table = tiny_esc50 / "meta" / "esc50.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]))
    with pytest.raises(RefusedError, match=r"is not what .* was made of"):
        verify(VerifyConfig(str(store), repair=True, dataset="esc50", root=tiny_esc50))


def test_a_store_of_the_first_clips_is_repaired_too(tiny_root: Path, tmp_path: Path, tiny_job: Job) -> None:
    tiny_job("esc50", tiny_root, tmp_path / "s.zarr", limit=7)
    flip(tmp_path / "s.zarr/label/c/0/0")
    verify(VerifyConfig(str(tmp_path / "s.zarr"), repair=True, dataset="esc50", root=tiny_root))
    assert verify(VerifyConfig(str(tmp_path / "s.zarr"))) == []


def test_any_bit_of_any_file(whole: Path, tmp_path: Path) -> None:
    """Thirty bits anywhere in the chunks of a store; each is found."""
    random = np.random.default_rng(0)
    files = sorted(p for p in whole.rglob("c/**/*") if p.is_file())
    for number in range(30):
        copy = tmp_path / f"{number}.zarr"
        shutil.copytree(whole, copy)
        file = copy / files[random.integers(len(files))].relative_to(whole)
        data = bytearray(file.read_bytes())
        at = int(random.integers(len(data)))
        data[at] ^= 1 << int(random.integers(8))
        file.write_bytes(data)
        with pytest.raises(EastError, match="is damaged"):
            verify(VerifyConfig(str(copy)))


def test_unfinished_files_are_cleaned(store: Path) -> None:
    stray = store / "audio" / "state" / "c" / "0.abc.partial"
    stray.write_bytes(b"half")
    assert verify(VerifyConfig(str(store))) == []
    assert stray.exists()
    verify(VerifyConfig(str(store), repair=True))
    assert not stray.exists()


def test_the_command_names_clips_and_mend(store: Path, tiny_root: Path, command: Run) -> None:
    flip(store / "teachers/tiny/mean/c/2/0")
    found = command("extract", "verify", store)
    assert found.returncode == 1
    assert "damaged: teachers/tiny: clips 16 to 19: mean cannot be read: Stored and computed" in found.stdout
    ids = "'5-105-A-3', '5-105-B-40', '5-105-C-3', '5-105-D-40'"
    assert f"do again in teachers/tiny: 4 clips: {ids}" in found.stdout
    assert (
        found.stderr
        == f"extract: {store} is damaged; `extract verify {store} --repair` sets these clips pending\n"
    )
    mended = command("extract", "verify", store, "--repair", "--from", "esc50", tiny_root)
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout.splitlines()[-2:] == [
        "4 clips of tiny are pending: the next `extract run` does them",
        f"{store}: 1 faults repaired",
    ]
    assert command("extract", "verify", store).returncode == 0


def test_no_repair_beside_a_job(store: Path) -> None:
    with (
        sharing(str(store), ["tiny"]),
        pytest.raises(RefusedError, match=r"a job works on it \(host .*, process"),
    ):
        verify(VerifyConfig(str(store), repair=True))


def test_damage_stops_a_run_with_one_line(store: Path, tiny_root: Path, tiny_job: Job) -> None:
    flip(store / "teachers/tiny/state/c/0")
    with pytest.raises(EastError, match=r"tiny/state cannot be read .*`extract verify STORE --repair`"):
        tiny_job("esc50", tiny_root, store, max_seconds=1.0)
