"""The command `train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from east.common.terminal import Terminal, run_app

app = typer.Typer(
    help="Train small students from a store of audio and teacher embeddings; no teacher is ever loaded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def run(
    store: Annotated[str, typer.Argument(help="The store, made by `extract run`.")],
    system: Annotated[str, typer.Option(help="teacher-lr, baseline, east-fitnet, east-dc, ...+linear.")],
    teacher: Annotated[str | None, typer.Option(help="A teacher in the store.")] = None,
    student: Annotated[str, typer.Option(help="See `train students`.")] = "sc-cnn",
    protocol: Annotated[str | None, typer.Option(help="Default: the store's first.")] = None,
    fold: Annotated[int | None, typer.Option(help="Test fold, where the protocol has folds.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order, crops and dropout.")] = 0,
    epochs: Annotated[int | None, typer.Option(help="At most; default 200.")] = None,
    batch_size: Annotated[int, typer.Option(help="Clips per step.")] = 16,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-4,
    weight: Annotated[float, typer.Option(help="w in (1 - w) L_pred + w L_dist.")] = 0.5,
    normalize: Annotated[str | None, typer.Option(help="none or standardise; default: the system's.")] = None,
    detach: Annotated[bool, typer.Option(help="Keep L_dist from moving the compression.")] = True,
    compression: Annotated[str, typer.Option(help="linear or mlp.")] = "linear",
    compression_dim: Annotated[int | None, typer.Option(help="Default: the student's.")] = None,
    channels: Annotated[int, typer.Option(help="Width of the student.")] = 128,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = "32-true",
    workers: Annotated[int | None, typer.Option(help="Reading processes; default 0, beside a GPU 4.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default: a name under runs/.")] = None,
) -> None:
    """Train and test one system; a run that is finished is not trained again."""
    from east.train.config import TrainConfig

    config = TrainConfig(
        store=store,
        system=system,
        teacher=teacher,
        student=student,
        protocol=protocol,
        fold=fold,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight=weight,
        normalize=normalize,
        detach=detach,
        compression=compression,
        compression_dim=compression_dim,
        channels=channels,
        device=device,
        precision=precision,
        workers=workers,
        out=out,
    )
    from east.train.run import train

    typer.echo(_summary(train(config, Terminal())))


@app.command()
def students() -> None:
    """List the students: input, feature and parameters at 128 channels and 50 classes."""
    from east.train.students import STUDENTS

    for name in STUDENTS.names():
        student = STUDENTS.load(name)
        built: Any = student(50, 128)
        millions = sum(p.numel() for p in built.parameters()) / 1e6
        info = student.info
        typer.echo(f"{name}: {info.window} samples ({info.window / 16_000:.2f} s) at 16 kHz, ", nl=False)
        typer.echo(f"feature {built.feature}, {millions:.2f} M parameters\n  {info.citation}")


def _summary(results: dict[str, Any]) -> str:
    parts = [results["system"], f"teacher {results['teacher'] or 'none'}", f"fold {results['fold'] or '-'}"]
    for split in ("valid", "test"):
        for metric, value in (results[split] or {}).items():
            parts.append(f"{split} {metric} {'-' if value is None else format(value, '.4f')}")
    return ", ".join(parts)


def main() -> None:
    """Entry point of the console script."""
    run_app(app, "train")
