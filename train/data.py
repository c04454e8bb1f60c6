"""From a store to a task: which clips, which labels, which embeddings. Nothing else is read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from east.common.errors import RefusedError
from east.common.reading import Rows, read_lengths, read_means, usable_clips
from east.common.store import Store
from east.train.config import MIN_BATCH, TrainConfig
from east.train.few_labels import choose_labelled


@dataclass(frozen=True)
class TaskData:
    """The clips of one run, by what they are for. Rows count clips of the store.

    Attributes:
        task: "multi-class" or "multi-label".
        classes: Names of the classes.
        protocol: Evaluation protocol.
        fold: Test fold, or None where the protocol has none.
        pool: Training rows whether they are used or not: what the embeddings' statistics are taken of.
        train: Rows to train on.
        valid: Labelled rows to validate on.
        test: Labelled rows to test on.
        labels: (clip, class) int8 of the whole store; hidden ones are -1.
        lengths: Stored samples, (clip,) int32, of the whole store.
        left_out: Clips that are not used because they failed.
    """

    task: str
    classes: list[str]
    protocol: str
    fold: int | None
    pool: Rows
    train: Rows
    valid: Rows
    test: Rows
    labels: npt.NDArray[np.int8]
    lengths: npt.NDArray[np.int32]
    left_out: int

    @property
    def labelled(self) -> Rows:
        """The training rows that have a label."""
        return with_label(self.labels, self.train)

    @property
    def digest(self) -> str:
        """Hash of which clips are for what."""
        parts = [np.array([len(rows), *rows]) for rows in (self.pool, self.train, self.valid, self.test)]
        return hashlib.sha256(np.concatenate(parts).astype("<i8").tobytes()).hexdigest()

    @property
    def unlabelled(self) -> Rows:
        """The training rows that have none, and take part in L_dist alone."""
        return self.train[(self.labels[self.train] < 0).all(axis=1)]


def load_task(store: Store, config: TrainConfig) -> TaskData:
    """Choose the clips of a run.

    Raises:
        RefusedError: The protocol, the fold, or enough clips are not there.
    """
    teachers = dict.fromkeys([*([config.teacher] if config.teacher else []), *config.require])
    usable = usable_clips(store, list(teachers))
    columns = store.columns()
    protocol = config.protocol or store.header.protocols[0]
    if protocol not in columns.splits:
        known = ", ".join(store.header.protocols)
        raise RefusedError(f"{store.url} has no protocol {protocol!r}: choose from {known}")
    split = _split(columns.splits[protocol], protocol, config.fold)
    rows: dict[str, Rows] = {
        name: np.flatnonzero(usable.done & (split == name)) for name in ("train", "valid", "test")
    }
    labels = hide_labels(columns.label, rows["train"], config)
    data = TaskData(
        task=store.header.task,
        classes=store.header.classes,
        protocol=protocol,
        fold=config.fold,
        pool=rows["train"],
        train=rows["train"] if config.uses_unlabelled else with_label(labels, rows["train"]),
        valid=with_label(labels, rows["valid"]),
        test=with_label(labels, rows["test"]),
        labels=labels,
        lengths=read_lengths(store),
        left_out=int((~usable.done & (split != "")).sum()),
    )
    _check(data, config)
    return data


def with_label(labels: npt.NDArray[np.int8], rows: Rows) -> Rows:
    """Those of the rows that have any known label."""
    return rows[(labels[rows] >= 0).any(axis=1)]


def hide_labels(labels: npt.NDArray[np.int8], train: Rows, config: TrainConfig) -> npt.NDArray[np.int8]:
    """All labels, with those of the training clips that `--label-share` hides set to -1."""
    if config.label_share is None:
        return labels
    labelled = with_label(labels, train)
    hidden = labels.copy()
    hidden[labelled[~choose_labelled(labels[labelled], config.label_share, config.seed)]] = -1
    return hidden


def _split(table: npt.NDArray[Any], protocol: str, fold: int | None) -> npt.NDArray[Any]:
    """One row of a protocol's (test_fold, clip) table."""
    if len(table) == 1:
        if fold is not None:
            raise RefusedError(f"protocol {protocol!r} has no folds: leave --fold out")
        fold = 1
    elif fold is None:
        raise RefusedError(f"protocol {protocol!r} has {len(table)} folds: say which with --fold K")
    if not 1 <= fold <= len(table):
        raise RefusedError(f"--fold {fold} does not exist: protocol {protocol!r} has folds 1 to {len(table)}")
    return np.asarray(table[fold - 1])


def _check(data: TaskData, config: TrainConfig) -> None:
    where = f"protocol {data.protocol!r}" + (f", fold {data.fold}" if data.fold else "")
    if len(data.labelled) < MIN_BATCH:
        raise RefusedError(
            f"{where} leaves {len(data.labelled)} labelled training clips; at least {MIN_BATCH} are needed"
        )
    if not len(data.test):
        raise RefusedError(f"{where} leaves no labelled test clip: check the store's splits and failed clips")
    if not len(data.valid) and config.epochs is None and config.system_row.student:
        raise RefusedError(f"{where} has no valid clips to stop by: say how long to train with --epochs N")


def load_embeddings(store: Store, teacher: str) -> npt.NDArray[np.float32]:
    """Mean embeddings of the whole store, (clip, feature) float32."""
    return read_means(store, teacher, np.arange(store.n_clips))


def statistics(embeddings: npt.NDArray[np.float32], rows: Rows, normalize: str) -> tuple[Tensor, Tensor]:
    """Mean and deviation, (feature,) each, that a run normalises embeddings with: of the training clips."""
    feature = embeddings.shape[1]
    if normalize == "none":
        return torch.zeros(feature), torch.ones(feature)
    chosen = embeddings[rows].astype(np.float64)
    deviation = chosen.std(axis=0)
    deviation[deviation == 0] = 1  # a dimension without spread stays at zero
    return torch.from_numpy(chosen.mean(axis=0)).float(), torch.from_numpy(deviation).float()
