"""OpenMIC-2018: which of 20 instruments play in 10 s, mostly unknown (Humphrey et al., ISMIR 2018)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from east.common.errors import RefusedError
from east.data.archive import check_unpacked, deviation, read_table, require_file
from east.data.index import DatasetInfo, Download, Index
from east.data.npz import read_plain, read_strings
from east.data.splits import TEST, TRAIN, UNUSED, VALID, hash_share


class OpenMic:
    """Reads `openmic-2018.npz`, `class-map.json` and the published partition.

    A label is 1 where the annotators' probability is at least 0.5, 0 below, and -1 where nobody was asked. Of
    the published training clips, 15 % by a hash of their key are valid.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="openmic",
        task="multi-label",
        max_seconds=10.0,
        layout="unpack it (tar xzf); ROOT is the folder openmic-2018, with openmic-2018.npz in it",
        licence="CC BY 4.0",
        downloads=(
            Download(
                "https://zenodo.org/records/1432913/files/openmic-2018-v1.0.0.tgz",
                "2.6 GB",
                "md5 e4ccf187e2bb5ab2e115416e8aafe7f4",
            ),
        ),
    )
    valid_share: ClassVar[float] = 0.15
    published: ClassVar[dict[str, int]] = {"train and valid": 14_915, TEST: 5_085, "instruments": 20}

    def index(self, root: Path) -> Index:
        """See `Dataset.index`."""
        keys, labels = self._read(root / "openmic-2018.npz")
        classes = self._classes(root / "class-map.json", labels.shape[1])
        given = self._split(root / "partitions", keys)
        counts = Counter("train and valid" if split in (TRAIN, VALID) else split for split in given)
        index = Index(
            dataset=self.info.name,
            task="multi-label",
            classes=classes,
            ids=tuple(keys),
            paths=tuple(f"audio/{key[:3]}/{key}.ogg" for key in keys),
            labels=labels,
            folds=np.full(len(keys), -1, dtype=np.int8),
            given=given,
            protocols=("given",),
            max_seconds=self.info.max_seconds,
            root=root,
            remarks=deviation("clips", {**counts, "instruments": len(classes)}, self.published),
        )
        check_unpacked(index, self.info)
        return index

    def _read(self, path: Path) -> tuple[list[str], npt.NDArray[np.int8]]:
        """Keys and labels, (clip, class); the features X, which the file holds too, are not loaded."""
        require_file(path, self.info)
        keys = read_strings(path, "sample_key")
        truth, mask = read_plain(path, "Y_true"), read_plain(path, "Y_mask")
        if truth.ndim != 2 or truth.shape != mask.shape or len(truth) != len(keys):
            shapes = f"{(len(keys),)}, {truth.shape}, {mask.shape}"
            raise RefusedError(f"{path}: sample_key, Y_true and Y_mask do not fit together: {shapes}")
        return keys, np.where(mask.astype(bool), truth >= 0.5, -1).astype(np.int8)

    def _classes(self, path: Path, n: int) -> tuple[str, ...]:
        require_file(path, self.info)
        try:
            number = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RefusedError(f"{path} is not JSON ({error}): take the published file") from error
        columns = list(number.values()) if isinstance(number, dict) else []
        if len(columns) != n or not all(i in columns for i in range(n)):
            raise RefusedError(f"{path} must give each of {n} instruments its column, 0 to {n - 1}")
        return tuple(sorted(number, key=number.__getitem__))

    def _split(self, folder: Path, keys: list[str]) -> tuple[str, ...]:
        train, test = (self._keys(folder / f"split01_{part}.csv") for part in ("train", "test"))
        split = {key: VALID if hash_share(key) < self.valid_share else TRAIN for key in train}
        split |= dict.fromkeys(test, TEST)
        return tuple(split.get(key, UNUSED) for key in keys)

    def _keys(self, path: Path) -> list[str]:
        return [row[0] for row in read_table(path, self.info) if row]
