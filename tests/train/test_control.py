"""`--control shuffled`: which embedding a clip gets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from east.common.errors import RefusedError
from east.common.store import Store
from east.train.config import TrainConfig
from east.train.control import shuffle_embeddings
from east.train.data import load_embeddings, load_task
from east.train.loop import setup
from east.train.run import train

MakeStore = Callable[..., Store]


def test_every_clip_gets_the_embedding_of_another_clip_of_its_part() -> None:
    embeddings = np.arange(20, dtype=np.float32)[:, None]
    parts = [np.array([0, 2, 4, 6, 8]), np.array([1, 3]), np.array([5])]
    for seed in range(50):
        got = shuffle_embeddings(embeddings, parts, seed)[:, 0]
        assert sorted(got[parts[0]]) == [0, 2, 4, 6, 8]
        assert (got[parts[0]] != parts[0]).all()
        assert got[[1, 3]].tolist() == [3, 1]
        assert got[[5, 7, 19]].tolist() == [5, 7, 19]  # alone in its part, or in none
    assert embeddings[:, 0].tolist() == list(range(20))


def test_seeded() -> None:
    embeddings, rows = np.arange(99, dtype=np.float32)[:, None], [np.arange(99)]
    first = shuffle_embeddings(embeddings, rows, 1)
    np.testing.assert_array_equal(first, shuffle_embeddings(embeddings, rows, 1))
    assert (first != shuffle_embeddings(embeddings, rows, 2)).any()


def test_a_run_learns_from_shuffled_embeddings_in_train_and_valid(make_store: MakeStore) -> None:
    store = make_store(failed=(0, 3))
    config = TrainConfig(store.url, "east-fitnet", "t", channels=2, control="shuffled")
    data = load_task(store, config)
    ready = setup(config, store, data)
    assert ready.embeddings is not None
    got, stored = ready.embeddings.numpy(), load_embeddings(store, "t")
    for rows in (data.pool, data.valid):
        own = (got[rows, None] == stored[None, rows]).all(axis=2)  # (clip, whose embedding it has)
        assert own.sum(axis=1).tolist() == [1] * len(rows)
        assert not own.diagonal().any()
    np.testing.assert_array_equal(got[data.test], stored[data.test])


def test_the_control_is_another_run(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    settings = {"channels": 2, "epochs": 1, "lr": 1e-2}
    plain = TrainConfig(store.url, "east-dc+linear", "t", **settings)  # type: ignore[arg-type]
    shuffled = TrainConfig(store.url, "east-dc+linear", "t", control="shuffled", **settings)  # type: ignore[arg-type]
    results = [train(run, root=tmp_path) for run in (plain, shuffled)]
    assert [result["control"] for result in results] == [None, "shuffled"]
    assert len(list(tmp_path.glob("*/results.json"))) == 2


@pytest.mark.parametrize(("system", "teacher"), [("baseline", None), ("teacher-lr", "t")])
def test_a_system_without_distance_is_refused(system: str, teacher: str | None) -> None:
    with pytest.raises(RefusedError, match="--control is for systems with a distance"):
        TrainConfig("s.zarr", system, teacher, control="shuffled")
