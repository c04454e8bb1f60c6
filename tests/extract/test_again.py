"""Work on a store that is there already: failed clips again, a new teacher, a collection that grew."""

import csv
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from east.common.blocks import State, states
from east.common.errors import EastError, RefusedError
from east.common.reading import usable_clips
from east.common.store import array_of, open_store
from east.extract.job import ExtractResult
from east.extract.repair import VerifyConfig, verify

Job = Callable[..., ExtractResult]
Same = Callable[[Path, Path], None]
Row = dict[str, str]


def chunk_times(store: Path) -> dict[str, int]:
    return {str(p.relative_to(store)): p.stat().st_mtime_ns for p in store.rglob("c/**/*") if p.is_file()}


def state_of(store: Path, part: str) -> list[int]:
    opened = open_store(str(store))
    return list(states(opened.audio if part == "audio" else opened.teacher_group(part)))


def test_failed_clips_are_done_again_and_nothing_else(
    tiny_esc50: Path, tmp_path: Path, tiny_job: Job, same_arrays: Same
) -> None:
    audio = sorted((tiny_esc50 / "audio").iterdir())
    whole, store = tmp_path / "whole.zarr", tmp_path / "s.zarr"
    tiny_job("esc50", tiny_esc50, whole, block=4)
    kept = {n: audio[n].read_bytes() for n in (5, 6, 13)}
    for n in kept:
        audio[n].write_bytes(b"")
    assert tiny_job("esc50", tiny_esc50, store, block=4).failed == 3
    assert tiny_job("esc50", tiny_esc50, store).computed == 0
    for n, content in kept.items():
        if n != 6:
            audio[n].write_bytes(content)
    audio[4].unlink()  # done before: not even looked at
    before = chunk_times(store)
    result = tiny_job("esc50", tiny_esc50, store, retry_failed=True)
    assert (result.done, result.failed) == (19, 1)
    touched = {name.split("/c/")[1][0] for name, time in chunk_times(store).items() if before[name] != time}
    assert touched == {"1", "3"}
    assert state_of(store, "audio")[4:8] == [State.DONE, State.DONE, State.FAILED, State.DONE]
    audio[6].write_bytes(kept[6])
    tiny_job("esc50", tiny_esc50, store, retry_failed=True)
    same_arrays(whole, store)


def test_a_new_teacher_leaves_the_rest_untouched_and_believes_what_failed(
    tiny_esc50: Path, tmp_path: Path, tiny_job: Job, same_arrays: Same
) -> None:
    audio, store = sorted((tiny_esc50 / "audio").iterdir()), tmp_path / "s.zarr"
    kept = audio[3].read_bytes()
    audio[3].write_bytes(b"")
    tiny_job("esc50", tiny_esc50, store)
    before = chunk_times(store)
    audio[3].write_bytes(kept)
    tiny_job("esc50", tiny_esc50, store, teachers=("other",))
    assert {name: time for name, time in chunk_times(store).items() if "/other/" not in name} == before
    group = open_store(str(store)).teacher_group("other")
    assert state_of(store, "other")[3] == State.FAILED
    assert np.asarray(array_of(group, "error")[3]) == "audio: the file is empty (0 bytes)"
    assert tiny_job("esc50", tiny_esc50, store, teachers=("tiny", "other"), retry_failed=True).failed == 0
    tiny_job("esc50", tiny_esc50, tmp_path / "whole.zarr", teachers=("tiny", "other"))
    same_arrays(tmp_path / "whole.zarr", store)


@pytest.fixture
def table(tmp_path: Path, tone: Callable[..., None]) -> Callable[..., Path]:
    """Writes a CSV file of these clips beside 24 tones of 0.3 s."""
    for n in range(24):
        tone(tmp_path / "in" / f"{n:02d}.wav", 0.3, pitch=300.0 + 20 * n)

    def write(clips: Any, **changes: str) -> Path:
        path = tmp_path / "in" / "clips.csv"
        with path.open("w", newline="") as file:
            rows = csv.DictWriter(file, ["path", "label", "split"])
            rows.writeheader()
            for n in clips:
                row = {"path": f"{n:02d}.wav", "label": "ab"[n % 2], "split": ["train", "test"][n % 3 == 0]}
                rows.writerow({**row, **(changes if n == 5 else {})})
        return path

    return write


SHORT = {"max_seconds": 0.5, "block": 4}


def test_a_collection_that_grew(
    table: Callable[..., Path], tmp_path: Path, tiny_job: Job, same_arrays: Same
) -> None:
    """From 10 clips to 15 to 24, the new ones anywhere in the table; blocks of 4."""
    store, whole = tmp_path / "s.zarr", tmp_path / "whole.zarr"
    tiny_job("csv", table(range(10)), store, teachers=("tiny", "other"), **SHORT)
    before = chunk_times(store)
    grown = table([20, *range(5), 21, 22, *range(5, 12)])
    result = tiny_job("csv", grown, store, append=True, **SHORT)
    assert (result.computed, result.done) == (7, 15)  # the two of the last block again, and five new ones
    assert {name: time for name, time in chunk_times(store).items() if name in before and is_full(name)} == {
        name: time for name, time in before.items() if is_full(name)
    }
    ids = [*(f"{n:02d}.wav" for n in range(10)), "20.wav", "21.wav", "22.wav", "10.wav", "11.wav"]
    assert open_store(str(store)).columns().clip_id.tolist() == ids
    assert state_of(store, "other") == [State.DONE] * 8 + [State.PENDING] * 7
    tiny_job("csv", grown, store, teachers=("other",), **SHORT)
    order = [*range(10), 20, 21, 22, 10, 11, *range(12, 20), 23]
    result = tiny_job("csv", table(order), store, teachers=("tiny", "other"), append=True, **SHORT)
    assert result.done == 24
    assert verify(VerifyConfig(str(store), dataset="csv", root=table(range(24)))) == []
    tiny_job("csv", table(order), whole, teachers=("tiny", "other"), **SHORT)
    same_arrays(whole, store)
    assert open_store(str(store)).header.index_sha256 == open_store(str(whole)).header.index_sha256


def is_full(name: str) -> bool:
    """Whether a chunk is one of the two full blocks that the store had before it grew."""
    return name.startswith(("audio/", "teachers/")) and name.split("/c/")[1][0] in "01"


def test_append_with_nothing_new_changes_nothing(
    table: Callable[..., Path], tmp_path: Path, tiny_job: Job
) -> None:
    store = tmp_path / "s.zarr"
    tiny_job("csv", table(range(10)), store, append=True, **SHORT)  # makes the store
    before = chunk_times(store)
    assert tiny_job("csv", table(range(10)), store, append=True, **SHORT).computed == 0
    assert chunk_times(store) == before


@pytest.mark.parametrize(
    ("clips", "changes", "message"),
    [
        (
            range(12),
            {"label": "a"},
            r"label of the clip '05.wav' = \[0, 1\], now it is \[1, 0\]: .*STORE",
        ),
        (range(12), {"split": "test"}, r"given of the clip '05.wav' = \['train'\], now it is \['test'\]"),
        (range(12), {"label": "c"}, r'made with classes = \["a", "b"\], now it is \["a", "b", "c"\]'),
        (range(1, 12), {}, "has the clip '00.wav', which the index has not"),
    ],
)
def test_what_changed_is_no_growth(
    table: Callable[..., Path],
    tmp_path: Path,
    tiny_job: Job,
    clips: range,
    changes: dict[str, str],
    message: str,
) -> None:
    store = tmp_path / "s.zarr"
    tiny_job("csv", table(range(10)), store, **SHORT)
    before = chunk_times(store)
    with pytest.raises(RefusedError, match=message):
        tiny_job("csv", table(clips, **changes), store, append=True, **SHORT)
    assert chunk_times(store) == before
    with pytest.raises(RefusedError, match="made with index_sha256"):
        tiny_job("csv", table(range(12)), store, **SHORT)


class KilledError(BaseException):
    """Stands for SIGKILL: nothing is cleaned up, and no file gets its name any more."""


@contextmanager
def killed_at(number: int) -> Iterator[None]:
    """Within it, the `number`-th file and all after it never get their name."""
    replace, written = os.replace, 0

    def counted(source: Any, target: Any) -> None:
        nonlocal written
        written += 1
        if written >= number:
            raise KilledError
        replace(source, target)

    os.replace = counted  # type: ignore[assignment]
    try:
        yield
    finally:
        os.replace = replace


def test_growth_that_is_killed_at_any_write_goes_on(
    table: Callable[..., Path], tmp_path: Path, tiny_job: Job, same_arrays: Same
) -> None:
    old, whole = tmp_path / "old.zarr", tmp_path / "whole.zarr"
    tiny_job("csv", table(range(10)), old, **SHORT)
    tiny_job("csv", table(range(15)), whole, **SHORT)
    grown = open_store(str(whole)).header.index_sha256
    for number in count(1):
        store = tmp_path / f"{number}.zarr"
        shutil.copytree(old, store)
        with pytest.raises(KilledError), killed_at(number):
            tiny_job("csv", table(range(15)), store, append=True, **SHORT)
        check_killed(store, table, tiny_job)
        finished = open_store(str(store)).header.index_sha256 == grown
        tiny_job("csv", table(range(15)), store, append=True, **SHORT)
        same_arrays(whole, store)
        assert verify(VerifyConfig(str(store), dataset="csv", root=table(range(15)))) == []
        if finished:
            break
    assert number > 25


def check_killed(store: Path, table: Callable[..., Path], tiny_job: Job) -> None:
    """A store that is half grown is refused by everything but `--append`, and never taken for a whole one."""
    if open_store(str(store)).growing is None:
        return
    for refused in (
        lambda: tiny_job("csv", table(range(10)), store, **SHORT),
        lambda: tiny_job("csv", table(range(15)), store, **SHORT),
        lambda: usable_clips(open_store(str(store)), ["tiny"]),
        lambda: verify(VerifyConfig(str(store))),
    ):
        with pytest.raises(EastError, match=r"is being grown; .* --append"):
            refused()


def test_growth_that_was_cut_off_can_be_taken_back(
    table: Callable[..., Path], tmp_path: Path, tiny_job: Job, same_arrays: Same
) -> None:
    old, store = tmp_path / "old.zarr", tmp_path / "s.zarr"
    tiny_job("csv", table(range(10)), old, **SHORT)
    shutil.copytree(old, store)
    with pytest.raises(KilledError), killed_at(12):
        tiny_job("csv", table(range(15)), store, append=True, **SHORT)
    assert open_store(str(store)).growing == 10
    tiny_job("csv", table(range(10)), store, append=True, **SHORT)
    same_arrays(old, store)
