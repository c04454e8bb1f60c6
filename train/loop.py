"""Training in plain sight: setup -> fit -> train_epoch, validate."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from east.common.errors import RefusedError
from east.common.reading import Rows
from east.common.store import Store
from east.common.terminal import Reporter
from east.train.checkpoint import Progress, load_checkpoint, save_checkpoint, save_weights
from east.train.config import TrainConfig
from east.train.control import shuffle_embeddings
from east.train.crops import CropReader, as_float, centre_keys, training_keys
from east.train.data import TaskData, load_embeddings, statistics
from east.train.guided import (
    GuidedStudent,
    Outputs,
    TeacherTransformation,
    Terms,
    objective,
    shuffled_distance,
)
from east.train.metrics import MAIN_METRIC, score
from east.train.runs import BEST, MetricsLog
from east.train.scoring import probabilities_of
from east.train.students import STUDENTS, Student

MAX_EPOCHS = 200
PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.2, 5
EARLY_STOP_PATIENCE = 12

_GPU_WORKERS = 4

Line = dict[str, float | None]
"""What is logged of an epoch."""


@dataclass
class Setup:
    """Everything the loop works on."""

    config: TrainConfig
    data: TaskData
    fabric: Fabric
    model: GuidedStudent
    optimizer: torch.optim.Optimizer
    reader: CropReader
    embeddings: Tensor | None  # (clip, feature), on the CPU: the only thing held per clip

    def batch(self, rows: Rows, crops: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Audio (B, window), embeddings (B, D) or None, and labels (B, class) on the device."""
        device = self.fabric.device
        audio = as_float(crops.to(device, non_blocking=True))
        labels = torch.from_numpy(self.data.labels[rows]).to(device, non_blocking=True)
        if self.embeddings is None:
            return audio, None, labels
        return audio, self.embeddings[rows].to(device, non_blocking=True), labels


def setup(config: TrainConfig, store: Store, data: TaskData) -> Setup:
    """Build student, guide, optimiser and reader, all from the seed.

    Raises:
        RefusedError: The device, the student or the compression cannot be had.
    """
    student_class = STUDENTS.load(config.student)
    fabric = make_fabric(config.device, config.precision)
    torch.manual_seed(config.seed)
    student = student_class(len(data.classes), config.channels)
    embeddings = load_embeddings(store, config.teacher) if config.teacher else None
    if embeddings is None:
        model = GuidedStudent(student, config.system_row, statistics=None)
    else:
        if config.control == "shuffled":
            embeddings = shuffle_embeddings(embeddings, (data.pool, data.valid), config.seed)
        shift = statistics(embeddings, data.pool, config.normalized)
        compression = _compression(config, student, embeddings.shape[1], len(data.classes))
        model = GuidedStudent(student, config.system_row, shift, compression)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    model, optimizer = fabric.setup(model, optimizer)
    reader = make_reader(store, student_class.info.window, fabric.device, config.workers)
    held = None if embeddings is None else torch.from_numpy(embeddings)
    return Setup(config, data, fabric, model, optimizer, reader, held)


def _compression(
    config: TrainConfig, student: Student, n_teacher: int, n_classes: int
) -> TeacherTransformation | None:
    if not config.system_row.compress:
        return None
    n_compact = config.compression_dim or student.feature
    if config.system_row.distance == "fitnet" and n_compact != student.feature:
        raise RefusedError(
            f"--compression-dim {n_compact} does not fit: {config.system} compares with the "
            f"{student.feature} dimensions of the student; leave it out"
        )
    return TeacherTransformation(n_teacher, n_compact, n_classes, config.compression)


def make_reader(store: Store, window: int, device: torch.device, workers: int | None = None) -> CropReader:
    """A reader of crops for this device; beside a GPU, other processes read ahead."""
    on_gpu = device.type == "cuda"
    return CropReader(
        store, window, workers=_GPU_WORKERS * on_gpu if workers is None else workers, pin=on_gpu
    )


def make_fabric(device: str, precision: str = "32-true") -> Fabric:
    """Device and precision of a run; one process, whatever a cluster's environment says about ranks.

    Raises:
        RefusedError: This machine lacks the device, or the device the precision.
    """
    accelerator, _, number = device.partition(":")
    if precision == "16-mixed" and (accelerator == "cpu" or not torch.cuda.is_available()):
        raise RefusedError("--precision 16-mixed needs a CUDA device: use bf16-mixed on a CPU")
    # Its notices on the precision and device that were asked for are no news to anybody.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    try:
        return Fabric(
            accelerator=accelerator,
            devices=[int(number)] if number else 1,
            precision=precision,  # type: ignore[arg-type]
            plugins=LightningEnvironment(),
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        what = f"--device {device} --precision {precision}"
        raise RefusedError(f"{what} cannot be had here: {reason}") from error


def fit(ready: Setup, folder: Path, reporter: Reporter, resume: bool = False) -> int:
    """Train until the monitored valid loss stops falling or the epochs are over; returns the epochs trained.

    `best.safetensors` is the state with the best valid metric; without a valid split, the last one.

    Args:
        ready: What to train.
        folder: Run folder.
        reporter: Where progress goes.
        resume: Go on after the last whole epoch of an interrupted run.
    """
    config, data, model, optimizer = ready.config, ready.data, ready.model, ready.optimizer
    scheduler = ReduceLROnPlateau(optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE)
    at = load_checkpoint(folder, model, optimizer, scheduler) if resume else Progress()
    log = MetricsLog(folder, epochs=at.epoch)
    last = config.epochs or MAX_EPOCHS
    with reporter.progress(config.system, last) as advance:
        advance(at.epoch, "resumed" if at.epoch else "")
        while at.epoch < last and at.waited < EARLY_STOP_PATIENCE:
            at.epoch += 1
            # Seeded per epoch, so that an epoch does not depend on what ran before it in this process.
            torch.manual_seed(epoch_seed(config.seed, at.epoch))
            line = {**train_epoch(ready, at.epoch), **validate(ready)}
            log.write(at.epoch, {**line, "lr": optimizer.param_groups[0]["lr"]})
            monitored, metric = line.get("valid/monitored"), line.get("valid/metric")
            advance(1, "" if metric is None else f"valid {MAIN_METRIC[data.task]} {metric:.3f}")
            if metric is None or metric > at.best_metric:
                at.best_metric = at.best_metric if metric is None else metric
                save_weights(folder / BEST, model.state_dict())
            if monitored is not None:
                scheduler.step(monitored)
                at.waited = 0 if monitored < at.lowest_loss else at.waited + 1
                at.lowest_loss = min(monitored, at.lowest_loss)
            save_checkpoint(folder, at, model, optimizer, scheduler)
    log.close()
    return at.epoch


def train_epoch(ready: Setup, epoch: int) -> Line:
    """One random crop of every training clip; means of what is logged over the epoch's steps."""
    config, data, model, fabric = ready.config, ready.data, ready.model, ready.fabric
    model.train()
    shuffler = torch.Generator().manual_seed(epoch_seed(config.seed, epoch))
    keys = training_keys(data, ready.reader.window, config, epoch)
    steps: list[dict[str, Tensor]] = []
    for rows, crops in ready.reader.batches(keys, config.batch_size):
        audio, embedding, labels = ready.batch(rows, crops)
        outputs = model(audio, embedding)
        terms = objective(outputs, labels, data.task, config.system_row, config.detach)
        loss = terms.total(config.weight)
        ready.optimizer.zero_grad()
        fabric.backward(loss)
        fabric.clip_gradients(model, ready.optimizer, max_norm=config.clip)
        ready.optimizer.step()
        steps.append(_logged(config, outputs, terms, loss, shuffler))
    # Fetched once an epoch: reading a number from a GPU waits for everything before it.
    return {f"train/{name}": torch.stack([s[name] for s in steps]).mean().item() for name in steps[0]}


@torch.no_grad()
def validate(ready: Setup) -> Line:
    """Loss without L_teacher, and the metric, on the centre crop of every valid clip; empty without any.

    `monitored` is what the learning rate and the early stopping follow.
    """
    config, data, model = ready.config, ready.data, ready.model
    if not len(data.valid):
        return {}
    model.eval()
    pred, dist, probabilities = _Mean(), _Mean(), []
    for rows, crops in ready.reader.batches(
        centre_keys(data, data.valid, ready.reader.window), config.batch_size
    ):
        audio, embedding, labels = ready.batch(rows, crops)
        outputs = model(audio, embedding)
        terms = objective(outputs, labels, data.task, config.system_row, config.detach)
        pred.add(terms.pred, len(rows))
        if terms.dist is not None:
            dist.add(terms.dist, len(rows))
        probabilities.append(probabilities_of(outputs.logits.float(), data.task).cpu().numpy())
    scores = score(np.concatenate(probabilities), data.labels[data.valid], data.classes, data.task)
    weight = config.weight if dist.n else 0.0
    loss = (1 - weight) * pred.value + weight * dist.value
    return {
        "valid/loss": loss,
        # A compressed target moves and grows while it is trained: L_dist of two epochs cannot be compared,
        # and what falls or rises of the loss is then L_pred alone.
        "valid/monitored": pred.value if config.system_row.compress else loss,
        "valid/pred": pred.value,
        "valid/dist": dist.value if dist.n else None,
        "valid/metric": scores.overall[MAIN_METRIC[data.task]],
    }


class _Mean:
    """A running mean of scalars over clips."""

    def __init__(self) -> None:
        self.sum, self.n = 0.0, 0

    def add(self, value: Tensor, n: int) -> None:
        self.sum, self.n = self.sum + value.item() * n, self.n + n

    @property
    def value(self) -> float:
        return self.sum / max(self.n, 1)


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed of its own for every epoch of every run."""
    return seed * 1_000_003 + epoch


def _logged(
    config: TrainConfig, outputs: Outputs, terms: Terms, loss: Tensor, shuffler: torch.Generator
) -> dict[str, Tensor]:
    """What is logged of a step: scalars, still on the device."""
    values = {"loss": loss.detach(), "pred": terms.pred.detach()}
    if terms.dist is not None:
        values["dist"] = terms.dist.detach()
        values["dist_shuffled"] = shuffled_distance(outputs, config.system_row, shuffler)
    if terms.teacher is not None and outputs.target is not None:
        values["teacher"] = terms.teacher.detach()
        values["compact_variance"] = outputs.target.detach().float().var(dim=0).mean()  # 0: it collapsed
    return values
