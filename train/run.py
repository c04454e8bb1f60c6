"""One run from its configuration to `results.json`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file

from east.common.errors import RefusedError
from east.common.memory import keep_freed_memory
from east.common.reading import Rows
from east.common.store import Store, array_of, open_store
from east.common.terminal import Quiet, Reporter
from east.train.checkpoint import save_weights
from east.train.config import TrainConfig
from east.train.data import TaskData, load_embeddings, load_task, statistics
from east.train.metrics import Probabilities, Scores, score
from east.train.runs import BEST, RunFolder
from east.train.scored_clips import SCORES, ScoredClips, summarise
from east.train.scoring import score_clips
from east.train.teacher_lr import fit_logistic_regression

if TYPE_CHECKING:
    from east.train.loop import Setup

Results = dict[str, Any]


class Finished(NamedTuple):
    """A finished run."""

    folder: Path
    results: Results


def train(config: TrainConfig, reporter: Reporter | None = None, root: Path = Path("runs")) -> Results:
    """As `carry_out`, for the dictionary of `results.json` alone."""
    return carry_out(config, reporter, root).results


def carry_out(config: TrainConfig, reporter: Reporter | None = None, root: Path = Path("runs")) -> Finished:
    """Carry out a run, or return what it measured before.

    Args:
        config: The run.
        reporter: Where progress goes.
        root: Where its folder lies, if the configuration does not say.

    Raises:
        RefusedError: The run cannot be carried out; nothing was written.
    """
    reporter = reporter or Quiet()
    keep_freed_memory()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RefusedError(
            "a run is one process, since a distance needs its whole batch: start a run per GPU"
        )
    store = open_store(config.store)
    data = load_task(store, config)
    run = RunFolder(config, store, data, root)
    found = run.finished()
    if found is not None:
        reporter.say(f"{run.path}: finished before, nothing to train")
        return Finished(run.path, found)
    if data.left_out:
        reporter.say(f"{data.left_out} of {store.n_clips} clips are left out: they failed in extraction")
    work = _train_student if config.system_row.student else _train_teacher_lr
    results = work(config, store, data, run, reporter)
    reporter.say(f"{run.path}: finished")
    return Finished(run.path, results)


def _train_student(
    config: TrainConfig, store: Store, data: TaskData, run: RunFolder, reporter: Reporter
) -> Results:
    # Lightning Fabric takes seconds to import, and a refused or finished run does not need it.
    from east.train.loop import fit, setup

    ready = setup(config, store, data)
    run.start()
    start = time.perf_counter()
    try:
        epochs = fit(ready, run.path, reporter, config.resume)
    except KeyboardInterrupt:
        reporter.say(f"{run.path}: interrupted; the same command with --resume goes on after the last epoch")
        raise
    trained = time.perf_counter()
    ready.model.load_state_dict(load_file(run.path / BEST))
    valid = _valid_scores(_probabilities(ready, data.valid), data) if len(data.valid) else None
    test = _test_clips(_probabilities(ready, data.test), store, data)
    timing = {
        "training_s": trained - start,
        "evaluation_s": time.perf_counter() - trained,
        "device": str(ready.fabric.device),
        "threads": torch.get_num_threads(),
    }
    parameters = sum(p.numel() for p in ready.model.student.parameters())
    results = _results(config, store, data, epochs=epochs, parameters=parameters, valid=valid, test=test)
    test.save(run.path / SCORES)
    run.finish(results, timing)
    return results


def _probabilities(ready: Setup, rows: Rows) -> Probabilities:
    return score_clips(ready.model, ready.reader, ready.data, rows, ready.fabric.device)


def _train_teacher_lr(
    config: TrainConfig, store: Store, data: TaskData, run: RunFolder, reporter: Reporter
) -> Results:
    assert config.teacher is not None
    run.start()
    start = time.perf_counter()
    embeddings = load_embeddings(store, config.teacher)
    mean, deviation = statistics(embeddings, data.pool, config.normalized)
    fitted = fit_logistic_regression((torch.from_numpy(embeddings) - mean) / deviation, data)
    reporter.say(f"L2 penalty {fitted.l2:g}")
    statistic = {"embedding_mean": mean, "embedding_deviation": deviation}
    save_weights(run.path / BEST, {**fitted.model.state_dict(), **statistic})
    test = _test_clips(fitted.probabilities[data.test], store, data)
    results = _results(
        config,
        store,
        data,
        epochs=None,
        parameters=sum(p.numel() for p in fitted.model.parameters()),
        valid=_valid_scores(fitted.probabilities[data.valid], data) if len(data.valid) else None,
        test=test,
    )
    test.save(run.path / SCORES)
    run.finish(results, {"training_s": time.perf_counter() - start, "l2": fitted.l2})
    return results


def _valid_scores(probabilities: Probabilities, data: TaskData) -> Scores:
    return score(probabilities, data.labels[data.valid], data.classes, data.task)


def _test_clips(probabilities: Probabilities, store: Store, data: TaskData) -> ScoredClips:
    clip_id = np.asarray(array_of(store.group, "clip_id")[:])[data.test]
    labels = data.labels[data.test]
    # Through a list: NumPy does not cast the store's strings of any length to those of a fixed width.
    return ScoredClips(np.array(clip_id.tolist()), probabilities, labels, data.classes, data.task)


def _results(
    config: TrainConfig,
    store: Store,
    data: TaskData,
    *,
    epochs: int | None,
    parameters: int,
    valid: Scores | None,
    test: ScoredClips,
) -> Results:
    """What is measured, without times: the same bytes for the same seed on a CPU."""
    weights = store.teacher_record(config.teacher).weights if config.teacher else None
    return {
        "dataset": store.header.dataset,
        "protocol": data.protocol,
        "task": data.task,
        "system": config.system,
        "student": config.student if config.system_row.student else None,
        "teacher": config.teacher,
        "control": config.control,
        "fold": data.fold,
        "seed": config.seed,
        "epochs": epochs,
        "parameters": parameters,
        "labelled": len(data.labelled),
        "unlabelled": len(data.unlabelled),
        "valid": valid.overall if valid else None,
        **summarise(test),
        "teacher_weights": weights,
        "store": store.identity(config.teacher),
    }
