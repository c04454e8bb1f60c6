import pickle
from collections.abc import Callable

import numpy as np
import pytest

from east.common.errors import StoreError
from east.common.reading import Waveforms, read_means, read_rows, usable_clips
from east.common.store import Store, TeacherRecord, array_of

MakeStore = Callable[..., Store]


def test_rows_equal_plain_indexing_in_any_order(make_store: MakeStore) -> None:
    store = make_store()
    frames = array_of(store.teacher_group("t"), "frames")
    rows = np.array([47, 0, 9, 9, 31])
    np.testing.assert_array_equal(read_rows(frames, rows), np.asarray(frames[:])[rows])
    assert read_means(store, "t", rows[:0]).shape == (0, 6)


def test_crops_equal_slices_and_are_padded_at_the_end(make_store: MakeStore) -> None:
    store = make_store()
    waveform = np.asarray(array_of(store.audio, "waveform")[:])
    reader = Waveforms(store.url)
    np.testing.assert_array_equal(reader.crop(5, 1000, 3000), waveform[5, 1000:4000])
    padded = reader.crop(5, 7000, 3000)
    np.testing.assert_array_equal(padded[:1000], waveform[5, 7000:])
    assert not padded[1000:].any()


def test_a_reader_travels_to_another_process(make_store: MakeStore) -> None:
    reader = Waveforms(make_store().url)
    first = reader.crop(0, 0, 100)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader)).crop(0, 0, 100), first)


def test_failed_clips_are_left_out_and_counted(make_store: MakeStore) -> None:
    usable = usable_clips(make_store(failed=(3, 7)), ["t"])
    assert usable.failed == 2
    assert np.flatnonzero(~usable.done).tolist() == [3, 7]


def test_pending_clips_are_refused_with_the_command(
    make_store: MakeStore, make_record: Callable[..., TeacherRecord]
) -> None:
    store = make_store()
    store.create_teacher(make_record(), 2, 6)
    with pytest.raises(
        StoreError, match=r"48 of 48 clips .* are pending; .*`extract run csv audio.csv .* --teacher t`"
    ):
        usable_clips(store, ["t"])
