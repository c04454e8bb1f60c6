import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt
import pytest
import xarray
import zarr

from east.common.blocks import Block, State, block_size, commit, is_pending, pending_blocks, plan, states
from east.common.errors import StoreError
from east.common.layout import Columns
from east.common.store import (
    Header,
    Store,
    TeacherRecord,
    array_of,
    check_identity,
    create_store,
    open_store,
    store_exists,
)

MakeStore = Callable[..., Store]

# name -> (dtype, dimensions, clips per file)
PUBLISHED = {
    "clip_id": ("string", ["clip"], None),
    "path": ("string", ["clip"], None),
    "fold": ("int8", ["clip"], None),
    "label": ("int8", ["clip", "class"], None),
    "splits/given": ("string", ["test_fold", "clip"], None),
    "audio/waveform": ("int16", ["clip", "sample"], 8),
    "audio/n_samples": ("int32", ["clip"], 8),
    "audio/duration": ("float32", ["clip"], 8),
    "audio/rate": ("int32", ["clip"], 8),
    "audio/state": ("uint8", ["clip"], 8),
    "audio/error": ("string", ["clip"], 8),
    "teachers/t/mean": ("float32", ["clip", "feature"], 8),
    "teachers/t/frames": ("float32", ["clip", "frame", "feature"], 8),
    "teachers/t/n_frames": ("int32", ["clip"], 8),
    "teachers/t/state": ("uint8", ["clip"], 8),
    "teachers/t/error": ("string", ["clip"], 8),
}


def test_published_schema_is_what_lies_on_disk(make_store: MakeStore) -> None:
    store = make_store()
    found = {
        str(p.parent.relative_to(store.url)): json.loads(p.read_text())
        for p in Path(store.url).rglob("zarr.json")
    }
    arrays = {name: meta for name, meta in found.items() if meta["node_type"] == "array"}
    assert set(arrays) == set(PUBLISHED)
    for name, (dtype, dims, clips) in PUBLISHED.items():
        meta = arrays[name]
        assert (meta["zarr_format"], meta["data_type"], meta["dimension_names"]) == (3, dtype, dims), name
        if clips is not None:  # written by jobs: one file is one block
            assert meta["chunk_grid"]["configuration"]["chunk_shape"][0] == clips, name
    assert found["."]["attributes"]["east"]["schema"] == 1
    assert found["teachers/t"]["attributes"]["teacher"]["weights"]["source"] == "file"


def test_every_chunk_carries_a_checksum(make_store: MakeStore) -> None:
    store = make_store()
    chunk = Path(store.url, "teachers/t/mean/c/0/0")
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        array_of(store.teacher_group("t"), "mean")[:]


def test_zeros_are_written_so_that_missing_differs(make_store: MakeStore) -> None:
    store = make_store(n=16)
    silence = np.zeros((8, 8000), dtype=np.int16)
    shutil.rmtree(Path(store.url, "audio/waveform/c"))
    array_of(store.audio, "waveform")[0:8] = silence
    assert Path(store.url, "audio/waveform/c/0/0").is_file()
    assert not Path(store.url, "audio/waveform/c/1/0").exists()


def test_xarray_and_dask_open_it_as_it_is(make_store: MakeStore) -> None:
    store = make_store()
    means = array_of(store.teacher_group("t"), "mean")[:]
    data = xarray.open_zarr(store.url, group="teachers/t", consolidated=False)
    assert data["mean"].dims == ("clip", "feature")
    np.testing.assert_array_equal(data["mean"].values, means)
    tree = xarray.open_datatree(store.url, engine="zarr", consolidated=False)
    assert tree["audio/waveform"].dims == ("clip", "sample")
    assert [str(c) for c in np.asarray(tree["clip_id"])[:2]] == ["clip000", "clip001"]
    array = dask.array.from_zarr(store.url, component="teachers/t/mean")
    np.testing.assert_array_equal(array.compute(), means)


def test_columns_come_back(make_store: MakeStore) -> None:
    columns = open_store(make_store().url).columns()
    assert columns.clip_id[47] == "clip047"
    assert columns.label[1].tolist() == [0, 1]
    assert columns.splits["given"].shape == (1, 48)


def test_longer_clips_are_cut_into_inner_chunks(tmp_path: Path, make_header: Callable[..., Header]) -> None:
    columns = Columns(
        np.array(["x"]),
        np.array(["x.wav"]),
        np.array([-1], np.int8),
        np.ones((1, 2), np.int8),
        {"given": np.array([["train"]])},
    )
    store = create_store(str(tmp_path / "s.zarr"), make_header(max_seconds=30.0, block=1), columns)
    waveform = array_of(store.audio, "waveform")
    assert waveform.shape == (1, 480_000)
    assert waveform.chunks == (1, 65_536)
    assert waveform.shards == (1, 524_288)
    waveform[0:1] = np.arange(480_000)[None] % 1000
    assert waveform[0, 479_999] == 999


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "there is no store"),
        (lambda path: path.mkdir() or (path / "letter.txt").write_text("hello"), "is not a store"),
        (lambda path: path.write_text("hello"), "is not a store"),
        (lambda path: zarr.open_group(path, mode="w"), "not a store of ours"),
        (lambda path: zarr.create_array(path, shape=(3,), dtype="int8"), "is not a store"),
        (
            lambda path: zarr.open_group(path, mode="w", attributes={"east": {"schema": 99}}),
            "schema 99.*schema 1",
        ),
    ],
)
def test_what_is_no_store_is_refused(tmp_path: Path, prepare: Callable[[Path], object], message: str) -> None:
    prepare(tmp_path / "x")
    with pytest.raises(StoreError, match=message):
        open_store(str(tmp_path / "x"))


def test_a_creation_that_was_cut_off_is_made_anew(tmp_path: Path, make_store: MakeStore) -> None:
    zarr.open_group(tmp_path / "small.zarr", mode="w", attributes={"east": {"schema": 1}})
    assert not store_exists(str(tmp_path / "small.zarr"))
    assert make_store("small.zarr").n_clips == 48


def test_an_existing_store_is_never_made_anew(make_store: MakeStore) -> None:
    make_store("small.zarr")
    with pytest.raises(StoreError, match="already holds a store"):
        make_store("small.zarr")


def test_identity_names_both_values_and_the_mend() -> None:
    with pytest.raises(StoreError, match=r'x was made with dtype = "float16", now it is "float32": do this'):
        check_identity("x", {"a": 1, "dtype": "float16"}, {"a": 1, "dtype": "float32"}, "do this")


def test_identity_hash_follows_weights_but_not_device(
    make_store: MakeStore, make_record: Callable[..., TeacherRecord]
) -> None:
    store = make_store()
    before = store.identity("t")
    store.create_teacher(make_record(device="cuda"), 2, 6)
    assert store.identity("t") == before
    store.create_teacher(make_record(weights={"source": "file", "sha256": "2" * 64}), 2, 6)
    assert store.identity("t") != before


def test_half_made_teacher_counts_as_missing(make_store: MakeStore) -> None:
    store = make_store()
    store.group.create_group("teachers/half")
    assert store.teachers() == ["t"]
    with pytest.raises(StoreError, match=r"no embeddings of teacher 'half' \(it has: t\).*extract run csv"):
        store.teacher_group("half")


def test_block_plan() -> None:
    assert plan(10, 4) == [Block(0, 4), Block(4, 8), Block(8, 10)]
    assert [block_size(n, 30.0) for n in (1, 16, 17, 400, 4096, 25_860)] == [1, 1, 2, 25, 256, 256]
    assert [block_size(25_860, seconds) for seconds in (60.0, 600.0, 3600.0)] == [139, 13, 2]


def test_state_is_written_last(make_store: MakeStore, make_record: Callable[..., TeacherRecord]) -> None:
    store = make_store()
    store.create_teacher(make_record(), 2, 6)
    group, block = store.teacher_group("t"), Block(0, 8)
    broken: dict[str, npt.NDArray[Any]] = {
        "state": np.full(8, State.DONE, np.uint8),
        "mean": np.zeros((8, 7), np.float32),
    }
    with pytest.raises(ValueError, match="shape"):
        commit(group, block, broken)
    assert is_pending(group, block)


def test_pending_blocks(make_store: MakeStore, make_record: Callable[..., TeacherRecord]) -> None:
    store = make_store()
    assert pending_blocks(store, ["t"]) == []
    assert len(pending_blocks(store, ["t", "not-there-yet"])) == 6
    store.create_teacher(make_record(), 2, 6)
    commit(store.teacher_group("t"), Block(8, 16), {"state": np.full(8, State.DONE, np.uint8)})
    assert [b.start for b in pending_blocks(store, ["t"])] == [0, 16, 24, 32, 40]
    assert states(store.teacher_group("t")).sum() == 8
