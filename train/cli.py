"""The command `train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from east.common.terminal import Terminal, names, numbers, run_app

app = typer.Typer(
    help="Train small students from a store of audio and teacher embeddings; no teacher is ever loaded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# Options that `run` and `compare` share; they reach `TrainConfig` by their names, through `ctx.params`. None
# means: as the preset says, else as `TrainConfig` says.
Store = Annotated[str, typer.Argument(help="The store, made by `extract run`.")]
Preset = Annotated[str | None, typer.Option(help="Named settings, as few-labels; options given win.")]
Protocol = Annotated[str | None, typer.Option(help="Default: the store's first.")]
Epochs = Annotated[int | None, typer.Option(help="At most; default 200.")]
BatchSize = Annotated[int | None, typer.Option(help="Clips per step; default 16.")]
Lr = Annotated[float | None, typer.Option(help="Learning rate; default 1e-4.")]
Weight = Annotated[float | None, typer.Option(help="w in (1 - w) L_pred + w L_dist; default 0.5.")]
Normalize = Annotated[str | None, typer.Option(help="none or standardise; default: the system's.")]
Detach = Annotated[bool | None, typer.Option(help="Whether to keep L_dist from moving the compression.")]
Compression = Annotated[str | None, typer.Option(help="linear (default) or mlp.")]
CompressionDim = Annotated[int | None, typer.Option(help="Default: the student's.")]
Unlabelled = Annotated[str | None, typer.Option(help="use or drop clips without labels.")]
Channels = Annotated[int | None, typer.Option(help="Width of the student; default 128.")]
Device = Annotated[str | None, typer.Option(help="auto (default), cpu, cuda or cuda:N.")]
Precision = Annotated[str | None, typer.Option(help="32-true (default), bf16-mixed or 16-mixed.")]
Workers = Annotated[int | None, typer.Option(help="Reading processes; default 0, beside a GPU 4.")]


@app.command()
def run(
    ctx: typer.Context,
    store: Store,
    system: Annotated[str, typer.Option(help="teacher-lr, baseline, east-fitnet, east-dc, ...+linear.")],
    teacher: Annotated[str | None, typer.Option(help="A teacher in the store.")] = None,
    student: Annotated[str, typer.Option(help="See `train students`.")] = "sc-cnn",
    fold: Annotated[int | None, typer.Option(help="Test fold, where the protocol has folds.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order, crops and dropout.")] = 0,
    label_share: Annotated[float | None, typer.Option(help="Hide the labels of all but this share.")] = None,
    control: Annotated[str | None, typer.Option(help="shuffled: embeddings of other clips.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    out: Annotated[Path | None, typer.Option(help="Run folder; default: a name under runs/.")] = None,
    preset: Preset = None,
    protocol: Protocol = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    weight: Weight = None,
    normalize: Normalize = None,
    detach: Detach = None,
    compression: Compression = None,
    compression_dim: CompressionDim = None,
    unlabelled: Unlabelled = None,
    channels: Channels = None,
    device: Device = None,
    precision: Precision = None,
    workers: Workers = None,
) -> None:
    """Train and test one system; a run that is finished is not trained again."""
    from east.train.config import TrainConfig
    from east.train.presets import settings

    chosen = settings(preset, ctx.params)
    config = TrainConfig(
        store=store,
        system=system,
        teacher=teacher,
        student=student,
        fold=fold,
        seed=seed,
        label_share=label_share,
        control=control,
        resume=resume,
        out=out,
        **chosen,
    )
    from east.train.run import train

    typer.echo(_summary(train(config, Terminal())))


@app.command()
def compare(
    ctx: typer.Context,
    store: Store,
    systems: Annotated[list[str] | None, typer.Option(help="Default: all six.")] = None,
    teachers: Annotated[list[str] | None, typer.Option(help="Default: all in the store.")] = None,
    students: Annotated[list[str] | None, typer.Option(help="Default: sc-cnn.")] = None,
    seeds: Annotated[list[str] | None, typer.Option(help="Default: 0.")] = None,
    folds: Annotated[list[str] | None, typer.Option(help="Default: all of the protocol.")] = None,
    label_shares: Annotated[list[str] | None, typer.Option(help="Shares of the labels to keep.")] = None,
    control: Annotated[list[str] | None, typer.Option(help="shuffled: show this control, too.")] = None,
    weights: Annotated[list[str] | None, typer.Option(help="Weights w to try; needs --select.")] = None,
    select: Annotated[str | None, typer.Option(help="valid: choose each system's w on valid.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of runs, tables and chart.")] = Path("runs"),
    preset: Preset = None,
    protocol: Protocol = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    weight: Weight = None,
    normalize: Normalize = None,
    detach: Detach = None,
    compression: Compression = None,
    compression_dim: CompressionDim = None,
    unlabelled: Unlabelled = None,
    channels: Channels = None,
    device: Device = None,
    precision: Precision = None,
    workers: Workers = None,
) -> None:
    """Train and test systems x teachers x students x seeds x folds, then show the table and the chart.

    List options repeat and take commas. Runs that are finished are not trained again.
    """
    from east.train.compare import CompareConfig, compare
    from east.train.presets import settings
    from east.train.systems import SYSTEMS
    from east.train.table_output import lines_of

    chosen = settings(preset, ctx.params)
    config = CompareConfig(
        store=store,
        systems=names(systems) or tuple(SYSTEMS),
        teachers=names(teachers),
        students=names(students) or ("sc-cnn",),
        seeds=numbers(seeds, int, "--seeds") or (0,),
        folds=numbers(folds, int, "--folds"),
        label_shares=numbers(label_shares, float, "--label-shares") or (None,),
        controls=(None, *names(control)),
        weights=numbers(weights, float, "--weights"),
        select=select,
        out=out,
        settings=chosen,
    )
    for line in lines_of(compare(config, Terminal())):
        typer.echo(line)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run of a student.")],
    store: Annotated[str, typer.Argument(help="The store of another data set.")],
    label_map: Annotated[
        str | None,
        typer.Option(help="A map's name, or a YAML file; default: the data sets' own, else names."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Score a trained student on the test clips of another data set; nothing is trained."""
    from east.train.evaluate import EvaluateConfig, evaluate
    from east.train.table_output import evaluation_lines

    for line in evaluation_lines(evaluate(EvaluateConfig(run, store, label_map, device), Terminal())):
        typer.echo(line)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run of a student.")],
    audio: Annotated[list[Path], typer.Argument(help="wav, flac, ogg or mp3 files of any rate and length.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON per file, with all classes.")
    ] = False,
    windows: Annotated[bool, typer.Option("--windows", help="Show the windows of each file, too.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Score audio files with a trained student; a file's score is the mean over windows that cover it.

    A file that cannot be used is named on standard error, the others go on, and the exit code is 1.
    """
    from east.common.errors import AudioError
    from east.train.predict import PredictConfig, json_line, predict, table_lines

    width = max(len(str(path)) for path in audio)
    failed = False
    for path, answer in predict(PredictConfig(run, tuple(audio), device)):
        if isinstance(answer, AudioError):
            failed = True
            typer.echo(f"train: {path}: {answer}", err=True)
        elif as_json:
            typer.echo(json_line(path, answer, windows))
        else:
            typer.echo("\n".join(table_lines(path, answer, width, windows)))
    raise typer.Exit(int(failed))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run of a student.")],
    out: Annotated[Path, typer.Option(help="The file, *.onnx; its model card is written beside it, *.md.")],
    precision: Annotated[str, typer.Option(help="float32, float16 or int8 (needs --store).")] = "float32",
    store: Annotated[
        str | None, typer.Option(help="The run's store: score the file on its test clips.")
    ] = None,
) -> None:
    """Write a trained student as one ONNX file: audio at 16 kHz in, probabilities out."""
    from east.train.export import ExportConfig, export

    export(ExportConfig(run, out, precision, store), Terminal())


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
