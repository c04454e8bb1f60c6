from pathlib import Path

import pytest

from east.common.errors import RefusedError
from east.data.esc50 import Esc50
from east.data.splits import count_test_folds, split_for


def test_number_of_folds_is_the_sum_of_a_protocol_name() -> None:
    assert [count_test_folds(p) for p in ("3-1-1", "4-1", "8-1-1", "1-1", "given", "hashed")] == [
        5,
        5,
        10,
        2,
        1,
        1,
    ]


@pytest.mark.parametrize(("protocol", "fold"), [("given", 1), ("3-1-1", 0), ("3-1-1", 6), ("9-1", 1)])
def test_what_does_not_exist_is_refused(tiny_esc50: Path, protocol: str, fold: int) -> None:
    with pytest.raises(RefusedError, match=r"no protocol|no fold"):
        split_for(protocol, fold, Esc50().index(tiny_esc50))
