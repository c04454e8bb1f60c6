"""A student that was trained on one data set, scored on the test clips of another one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from east.common.errors import RefusedError
from east.common.memory import keep_freed_memory
from east.common.reading import Rows, read_lengths, usable_clips
from east.common.store import Store, open_store
from east.common.terminal import Quiet, Reporter
from east.train.checkpoint import replace_file
from east.train.config import check_device
from east.train.data import with_label
from east.train.label_map import LabelMap, equal_names, load_label_map, shipped_maps
from east.train.metrics import Labels
from east.train.scored_clips import ScoredClips, summarise
from east.train.systems import SYSTEMS

if TYPE_CHECKING:
    from east.train.trained import Trained

_COPIED = ("system", "student", "teacher", "control", "seed", "fold", "teacher_weights")


@dataclass(frozen=True)
class EvaluateConfig:
    """An evaluation on another data set.

    Attributes:
        run: Folder of a finished run of a student.
        store: Path or URL of the other store.
        label_map: Name of a map that comes with the project, or a YAML file; None: the one that is named
            after both data sets if there is one, else the classes of equal names.
        device: As in `TrainConfig`.
    """

    run: Path
    store: str
    label_map: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_device(self.device)


@dataclass(frozen=True)
class Target:
    """The other data set's test clips.

    Attributes:
        task: The student's, which says how its logits become probabilities.
        classes: The student's.
        lengths: Stored samples, (clip,) int32, of the whole store.
        rows: Test clips with a known label among the mapped classes.
        labels: (len(rows), mapped class) int8.
    """

    task: str
    classes: list[str]
    lengths: npt.NDArray[np.int32]
    rows: Rows
    labels: Labels


def evaluate(config: EvaluateConfig, reporter: Reporter | None = None) -> dict[str, Any]:
    """Score a student on another store; the figures are also written into its run folder.

    They are in `evaluation-<data set>.json`, or in `evaluation-<label map>.json` where the map is not the
    default one.

    Raises:
        RefusedError: The run is no finished student, or the two data sets have nothing in common.
    """
    from east.train.trained import load_trained

    reporter = reporter or Quiet()
    keep_freed_memory()
    trained, store = load_trained(config.run), open_store(config.store)
    if trained.index == store.header.index_sha256:
        raise RefusedError(f"{config.run} was trained on the clips of {store.url}: see its results.json")
    if trained.dataset == store.header.dataset:
        reporter.say(f"both are {trained.dataset}: clips that the student has learnt from would flatter it")
    label_map, default = _choose_map(config, trained, store)
    label_map.check(trained.classes, store.header.classes)
    reporter.say(f"{len(label_map.labels)} classes by label map {label_map.name!r}")
    document = _document(trained, store, label_map, _score(config, trained, store, label_map))
    path = config.run / f"evaluation-{store.header.dataset if default else Path(label_map.name).stem}.json"
    replace_file(path, (json.dumps(document, indent=2) + "\n").encode())
    reporter.say(f"written: {path}")
    return document


def _choose_map(config: EvaluateConfig, trained: Trained, store: Store) -> tuple[LabelMap, bool]:
    """The label map, and whether it is the one that these two data sets have by default."""
    between = f"{trained.dataset}-{store.header.dataset}"
    if config.label_map is not None:
        return load_label_map(config.label_map), config.label_map == between
    if between in shipped_maps():
        return load_label_map(between), True
    return equal_names(trained.classes, store.header.classes), True


def _target(trained: Trained, store: Store, label_map: LabelMap) -> Target:
    columns, usable = store.columns(), usable_clips(store, [])
    protocol = store.header.protocols[0]
    # Of a protocol with folds, the test clips of all of them: this student has learnt from none.
    is_test = (np.asarray(columns.splits[protocol]) == "test").any(axis=0)
    labels = columns.label[:, [store.header.classes.index(name) for name in label_map.labels]]
    rows = with_label(labels, np.flatnonzero(usable.done & is_test))
    if store.header.task == "multi-class":
        rows = rows[(labels[rows] == 1).any(axis=1)]  # a clip of another class cannot be right
    if not len(rows):
        raise RefusedError(f"{store.url} has no test clip labelled with {', '.join(label_map.labels)}")
    return Target(trained.task, trained.classes, read_lengths(store), rows, labels[rows])


def _score(config: EvaluateConfig, trained: Trained, store: Store, label_map: LabelMap) -> ScoredClips:
    # Lightning Fabric takes seconds to import, and a refused evaluation does not need it.
    from east.train.guided import GuidedStudent
    from east.train.loop import make_fabric, make_reader
    from east.train.scoring import score_clips

    target = _target(trained, store, label_map)
    device = make_fabric(config.device).device
    model = GuidedStudent(trained.student, SYSTEMS["baseline"], statistics=None).to(device)
    reader = make_reader(store, trained.student.info.window, device)
    scores = label_map.apply(score_clips(model, reader, target, target.rows, device), trained.classes)
    clip_id = np.array(store.columns().clip_id[target.rows].tolist())
    return ScoredClips(clip_id, scores, target.labels, list(label_map.labels), store.header.task)


def _document(trained: Trained, store: Store, label_map: LabelMap, clips: ScoredClips) -> dict[str, Any]:
    return {
        **{key: trained.results[key] for key in _COPIED},
        "trained_on": trained.dataset,
        "dataset": store.header.dataset,
        "task": clips.task,
        "store": store.identity(),
        "label_map": {"name": label_map.name, "combine": label_map.combine},
        "labels": {name: list(tags) for name, tags in label_map.labels.items()},
        "clips": len(clips.clip_id),
        **summarise(clips),
    }
