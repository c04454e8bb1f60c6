"""The control `shuffled`: a table can then tell transfer from mere regularisation.

What a student gains from embeddings that belong to other clips it does not gain from what they say about
the audio.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from east.common.reading import Rows


def shuffle_embeddings(
    embeddings: npt.NDArray[np.float32], parts: Sequence[Rows], seed: int
) -> npt.NDArray[np.float32]:
    """Give every clip the embedding of another clip of the same part; no clip keeps its own.

    Args:
        embeddings: (clip, feature) of the store.
        parts: The rows of each part, as train and valid. Where a part has one clip alone, it keeps its own.
        seed: Of the order in which the clips of a part pass their embeddings on.

    Returns:
        A new array, (clip, feature).
    """
    random = np.random.default_rng([seed, 0xC0117801])
    shuffled = embeddings.copy()
    for rows in parts:
        ring = random.permutation(rows)
        shuffled[ring] = embeddings[np.roll(ring, 1)]
    return shuffled
