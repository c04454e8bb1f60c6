from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from east.common.blocks import State, states
from east.common.errors import RefusedError
from east.common.store import Store, array_of
from east.extract.imported import ImportConfig, import_embeddings

MakeStore = Callable[..., Store]


def ids_of(store: Store) -> list[str]:
    return [str(clip) for clip in np.asarray(array_of(store.group, "clip_id")[:])]


def test_a_file_of_vectors(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(failed=(5,))
    vectors = {clip: np.arange(4) + number for number, clip in enumerate(ids_of(store))}
    del vectors["clip007"]
    vectors["clip008"] = np.full(4, np.nan)
    np.savez(tmp_path / "mine.npz", **vectors, other=np.zeros(9))  # type: ignore[arg-type]
    config = ImportConfig(store.url, "mine", tmp_path / "mine.npz", licence="CC0-1.0")
    assert import_embeddings(config) == (45, 3)

    group = store.teacher_group("mine")
    assert array_of(group, "frames").shape == (48, 1, 4)
    assert np.asarray(array_of(group, "mean")[2]).tolist() == [2, 3, 4, 5]
    reasons = np.asarray(array_of(group, "error")[:])
    assert reasons[5:9].tolist() == [
        "audio: failed",
        "",
        "no embedding was imported",
        "the embedding is not finite",
    ]
    assert states(group)[5:9].tolist() == [State.FAILED, State.DONE, State.FAILED, State.FAILED]
    record = store.teacher_record("mine")
    assert (record.weights["source"], record.licences) == ("imported", {"embeddings": "CC0-1.0"})


def test_a_folder_of_frames(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, clip in enumerate(ids_of(store)):
        np.save(folder / f"{clip}.npy", np.ones((1 + number % 3, 2)) * np.arange(1, 2 + number % 3)[:, None])
    (folder / "clip003.npy").write_bytes(b"not an array")
    assert import_embeddings(ImportConfig(store.url, "mine", folder)) == (47, 1)
    group = store.teacher_group("mine")
    assert np.asarray(array_of(group, "n_frames")[:5]).tolist() == [1, 2, 3, 0, 2]
    assert np.asarray(array_of(group, "mean")[:3, 0]).tolist() == [1, 1.5, 2]


def test_the_same_again_changes_nothing_and_another_file_is_refused(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    for name, value in (("a", 1.0), ("b", 2.0)):
        np.savez(tmp_path / f"{name}.npz", **{clip: np.full(3, value) for clip in ids_of(store)})  # type: ignore[arg-type]
    first = ImportConfig(store.url, "mine", tmp_path / "a.npz")
    assert import_embeddings(first) == import_embeddings(first) == (48, 0)
    with pytest.raises(RefusedError, match=r"was made with weights = .*replace it with --overwrite"):
        import_embeddings(ImportConfig(store.url, "mine", tmp_path / "b.npz"))
    import_embeddings(ImportConfig(store.url, "mine", tmp_path / "b.npz", overwrite=True))
    assert float(np.asarray(array_of(store.teacher_group("mine"), "mean")[0, 0])) == 2.0


def test_refusals(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    np.savez(tmp_path / "other.npz", unknown=np.zeros(3))
    np.savez(tmp_path / "two.npz", clip000=np.zeros(3), clip001=np.zeros(4))
    np.savez(tmp_path / "objects.npz", clip000=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("hello")
    for source, message in (
        ("other.npz", "none for this store's clips"),
        ("two.npz", "dimensions 3 and 4"),
        ("objects.npz", "none for this store's clips"),
        ("text.npz", r"is no \.npz file"),
        ("gone.npz", "does not exist"),
    ):
        with pytest.raises(RefusedError, match=message):
            import_embeddings(ImportConfig(store.url, "mine", tmp_path / source))
    assert store.teachers() == ["t"]
    with pytest.raises(RefusedError, match="is no name for a teacher"):
        ImportConfig(store.url, "../t", tmp_path / "two.npz")
