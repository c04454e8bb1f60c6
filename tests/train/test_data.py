from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from east.common.errors import RefusedError
from east.common.reading import read_lengths
from east.common.store import Store, array_of
from east.train.config import TrainConfig
from east.train.crops import CropReader, as_float, centre_keys, training_keys, window_keys
from east.train.data import TaskData, load_task, statistics

MakeStore = Callable[..., Store]


def config(store: Store, system: str = "east-dc", **changes: Any) -> TrainConfig:
    teacher = None if system == "baseline" else "t"
    return TrainConfig(store.url, system, teacher, **changes)


def task_data(lengths: list[int], unlabelled: int = 0) -> TaskData:
    """Clips of these lengths, all for everything; the last ones without a label."""
    rows = np.arange(len(lengths))
    labels = np.ones((len(lengths), 1), np.int8)
    labels[len(lengths) - unlabelled :] = -1
    lengths_ = np.array(lengths, np.int32)
    return TaskData("multi-label", ["a"], "given", None, rows, rows, rows, rows, labels, lengths_, 0)


def run_config(seed: int = 1, batch_size: int = 4) -> TrainConfig:
    return TrainConfig("s.zarr", "east-dc", "t", seed=seed, batch_size=batch_size)


def test_clips_by_what_they_are_for(make_store: MakeStore) -> None:
    store = make_store(failed=(1, 9))
    data = load_task(store, config(store))
    assert (len(data.train), len(data.valid), len(data.test)) == (31, 7, 8)
    assert data.left_out == 2
    assert not {1, 9} & {*data.train, *data.valid, *data.test}


def test_unlabelled_clips_train_where_there_is_a_distance_only(make_store: MakeStore) -> None:
    labels = np.eye(2, dtype=np.int8)[np.arange(48) % 2]
    labels[[0, 1, 8, 10]] = -1  # two train, one valid, one test
    store = make_store(labels=labels)
    with_distance, without = load_task(store, config(store)), load_task(store, config(store, "baseline"))
    assert (len(with_distance.labelled), with_distance.unlabelled.tolist()) == (30, [0, 1])
    assert (len(without.labelled), len(without.unlabelled)) == (30, 0)
    assert len(with_distance.pool) == len(without.pool) == 32
    dropped = load_task(store, config(store, unlabelled="drop"))
    assert (len(dropped.labelled), len(dropped.unlabelled)) == (30, 0)
    assert (len(with_distance.valid), len(with_distance.test)) == (7, 7)


def test_folds(make_store: MakeStore) -> None:
    table = np.array([["test"] * 8 + ["train"] * 40, ["train"] * 40 + ["test"] * 8])
    store = make_store(splits={"1-1": table})
    assert load_task(store, config(store, fold=2, epochs=1)).test.tolist() == list(range(40, 48))
    with pytest.raises(RefusedError, match="has 2 folds: say which with --fold K"):
        load_task(store, config(store, epochs=1))
    with pytest.raises(RefusedError, match="--fold 3 does not exist"):
        load_task(store, config(store, fold=3, epochs=1))
    with pytest.raises(RefusedError, match="no valid clips to stop by: say how long to train with --epochs"):
        load_task(store, config(store, fold=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 1}, "has no folds: leave --fold out"),
        ({"protocol": "3-1-1"}, "has no protocol '3-1-1': choose from given"),
    ],
)
def test_what_the_store_lacks_is_refused(
    make_store: MakeStore, changes: dict[str, Any], message: str
) -> None:
    store = make_store()
    with pytest.raises(RefusedError, match=message):
        load_task(store, config(store, **changes))


def test_too_few_labelled_clips_are_refused(make_store: MakeStore) -> None:
    labels = np.full((48, 2), -1, np.int8)
    labels[10:12] = [[1, 0], [0, 1]]
    store = make_store(labels=labels)
    with pytest.raises(RefusedError, match="leaves 0 labelled training clips"):
        load_task(store, config(store))


def test_an_epoch_is_a_pure_function_of_seed_and_number() -> None:
    data = task_data([1000, 500, 100, 3000])
    keys = training_keys(data, 500, run_config(), epoch=2)
    np.testing.assert_array_equal(keys, training_keys(data, 500, run_config(), epoch=2))
    assert sorted(keys[:, 0]) == [0, 1, 2, 3]  # every clip once
    many = np.concatenate([training_keys(data, 500, run_config(), epoch=e) for e in range(300)])
    for row, last in ((0, 500), (1, 0), (2, 0), (3, 2500)):
        starts = many[many[:, 0] == row, 1]
        assert starts.min() >= 0
        assert starts.max() <= last
        assert (starts.max() > 0.9 * last) or last == 0


@pytest.mark.parametrize(("n", "kept"), [(16, 16), (17, 16), (19, 16), (20, 20), (5, 4), (4, 4)])
def test_a_last_batch_under_four_is_dropped(n: int, kept: int) -> None:
    assert len(training_keys(task_data([9] * n), 5, run_config(batch_size=4), 1)) == kept


def test_batches_are_half_labelled_where_few_are() -> None:
    data = task_data([9] * 40, unlabelled=35)
    keys = training_keys(data, 5, run_config(batch_size=9), epoch=1)
    assert len(keys) == 45  # as many crops as clips, in whole batches
    for batch in keys[:, 0].reshape(5, 9):
        assert (batch < 5).sum() == 4
        assert (batch >= 5).sum() == 5
    seen = np.unique(keys[:, 0], return_counts=True)[1]
    assert seen[:5].tolist() == [4] * 5  # the few come round again and again, equally often
    many = np.concatenate([training_keys(data, 5, run_config(batch_size=9), e)[:, 0] for e in range(20)])
    assert set(many) == set(range(40))


def test_an_epoch_is_as_long_for_a_system_without_use_for_unlabelled_clips(make_store: MakeStore) -> None:
    store = make_store()
    lengths = set()
    for system in ("baseline", "east-dc"):
        run = config(store, system, label_share=0.25, batch_size=8)
        lengths.add(len(training_keys(load_task(store, run), 3000, run, epoch=1)))
    assert lengths == {32}


def test_label_share_hides_training_labels_only(make_store: MakeStore) -> None:
    store = make_store()
    full, few = load_task(store, config(store)), load_task(store, config(store, label_share=0.25))
    assert (len(few.labelled), len(few.unlabelled)) == (8, 24)
    assert few.labels[few.labelled].sum(axis=0).tolist() == [4, 4]
    for rows in (few.valid, few.test):
        np.testing.assert_array_equal(few.labels[rows], full.labels[rows])
    other = load_task(store, config(store, label_share=0.25, seed=1))
    assert other.labelled.tolist() != few.labelled.tolist()
    baseline = load_task(store, config(store, "baseline", label_share=0.25))
    assert baseline.labelled.tolist() == few.labelled.tolist()  # the same clips for every system


def test_centre_crop() -> None:
    data = task_data([1000, 501, 100])
    assert centre_keys(data, data.valid, 500).tolist() == [[0, 250], [1, 0], [2, 0]]


def test_windows_are_evenly_spaced_and_at_most_sixteen() -> None:
    data = task_data([1000, 100, 500, 501, 100_000])
    keys = window_keys(data.lengths, np.array([0, 1, 2, 3]), 500)
    assert keys.tolist() == [[0, 0], [0, 500], [1, 0], [2, 0], [3, 0], [3, 1]]
    many = window_keys(data.lengths, np.array([4]), 500)
    assert len(many) == 16
    assert (many[0, 1], many[-1, 1]) == (0, 99_500)


@pytest.mark.parametrize("workers", [0, 2])
def test_reader_gives_the_stored_audio_in_order(make_store: MakeStore, workers: int) -> None:
    store = make_store()
    waveform = np.asarray(array_of(store.audio, "waveform")[:])
    reader = CropReader(store, 3000, workers=workers)
    for seed in (0, 1):  # the second epoch reuses the reading processes
        keys = training_keys(load_task(store, config(store)), 3000, run_config(seed), epoch=1)
        batches = list(reader.batches(keys, 5))
        assert [len(rows) for rows, _ in batches] == [5] * 6 + [2]
        np.testing.assert_array_equal(np.concatenate([rows for rows, _ in batches]), keys[:, 0])
        crops = torch.cat([crops for _, crops in batches]).numpy()
        for (row, start), crop in zip(keys, crops, strict=True):
            np.testing.assert_array_equal(crop, waveform[row, start : start + 3000])


def test_stored_audio_becomes_float_again() -> None:
    crops = torch.tensor([[32_767, 0, -32_767]], dtype=torch.int16)
    assert as_float(crops).tolist() == [[1.0, 0.0, -1.0]]


def test_statistics_of_the_training_clips() -> None:
    embeddings = np.array([[1, 5, 0], [3, 5, 0], [100, 100, 100]], dtype=np.float32)
    mean, deviation = statistics(embeddings, np.array([0, 1]), "standardise")
    assert mean.tolist() == [2, 5, 0]
    assert deviation.tolist() == [1, 1, 1]  # a dimension without spread is only shifted
    mean, deviation = statistics(embeddings, np.array([0, 1]), "none")
    assert (mean.tolist(), deviation.tolist()) == ([0, 0, 0], [1, 1, 1])


def test_lengths(make_store: MakeStore) -> None:
    assert read_lengths(make_store()).tolist() == [8000] * 48
