"""The command `extract`."""

from pathlib import Path
from typing import Annotated

import typer

from east.common.errors import RefusedError
from east.common.terminal import Quiet, Terminal, names, run_app

app = typer.Typer(
    help="Embed audio data sets with pretrained teachers, once, into a store that students train from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def run(
    dataset: Annotated[str, typer.Argument(help="Name of the data set, as esc50 or csv.")],
    root: Annotated[Path, typer.Argument(help="Where it lies; for csv the CSV file itself.")],
    store: Annotated[str, typer.Argument(help="The store to make or to complete.")],
    teacher: Annotated[list[str], typer.Option(help="Teachers; repeat or separate by commas.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[int, typer.Option(help="Worker processes on this machine.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Windows per forward pass.")] = 16,
    dtype: Annotated[str, typer.Option(help="Of the stored frames: float32 or float16.")] = "float32",
    precision: Annotated[str, typer.Option(help="Of the networks: float32, bf16 or fp16.")] = "float32",
    weights: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH, NAME=random, or NAME=sha256:HASH of published ones.")
    ] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Cut longer audio.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N clips.")] = None,
    block: Annotated[int | None, typer.Option(help="Clips per block, at creation.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the named teachers' embeddings.")] = False,
    max_failed: Annotated[float, typer.Option(help="Share of clips that may fail.")] = 0.1,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed clips again.")] = False,
    append: Annotated[bool, typer.Option("--append", help="Take new clips of the index into it.")] = False,
) -> None:
    """Embed a data set; the same command again finishes what is pending and computes nothing twice."""
    from east.extract.config import ExtractConfig
    from east.extract.job import extract

    config = ExtractConfig(
        dataset=dataset,
        root=root,
        store=store,
        teachers=tuple(dict.fromkeys(names(teacher))),
        device=device,
        workers=workers,
        batch_size=batch_size,
        dtype=dtype,
        precision=precision,
        weights=_weights(names(weights)),
        max_seconds=max_seconds,
        limit=limit,
        block=block,
        overwrite=overwrite,
        max_failed=max_failed,
        retry_failed=retry_failed,
        append=append,
    )
    extract(config, Terminal())


@app.command()
def info(store: Annotated[str, typer.Argument(help="The store.")]) -> None:
    """Show what a store holds: clips by state with reasons, splits, teachers with weights and licences."""
    from east.extract.info import describe

    for line in describe(store):
        typer.echo(line)


@app.command("import")
def import_(
    store: Annotated[str, typer.Argument(help="A finished store.")],
    name: Annotated[str, typer.Argument(help="Name of the teacher to make of them.")],
    source: Annotated[Path, typer.Argument(help="FILE.npz with an array per clip id, or a folder of .npy.")],
    licence: Annotated[str, typer.Option(help="Of the embeddings; kept with them.")] = "unknown",
    overwrite: Annotated[bool, typer.Option(help="Replace the teacher of that name.")] = False,
) -> None:
    """Put embeddings that you already have, (feature,) or (frames, feature) per clip, into a store."""
    from east.extract.imported import ImportConfig, import_embeddings

    done, failed = import_embeddings(ImportConfig(store, name, source, licence, overwrite), Terminal())
    typer.echo(f"{store}: teacher {name}: {done} done, {failed} failed")


@app.command()
def teachers(
    teacher: Annotated[list[str] | None, typer.Option(help="Only these.")] = None,
    measure: Annotated[bool, typer.Option(help="Measure their speed on this machine.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[bool, typer.Option(help="For `train report --teachers`.")] = False,
) -> None:
    """List the teachers: package, size, licences, whether they and their weights are here, and how fast."""
    from east.extract.catalogue import as_json, catalogue, lines_of

    entries = catalogue(names(teacher), measure, device, Quiet() if json else Terminal())
    for line in [as_json(entries)] if json else lines_of(entries):
        typer.echo(line)


@app.command()
def weights(
    teacher: Annotated[list[str] | None, typer.Argument(help="Fetch and check the weights of these.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Accept a file of this hash instead.")] = None,
) -> None:
    """List the teachers' published weights and where they belong, or fetch and check them."""
    from east.extract.published import fetch, list_weights

    for line in fetch(names(teacher), sha256, Terminal()) if teacher else list_weights():
        typer.echo(line)


@app.command()
def datasets() -> None:
    """List the data sets: what to download, from where, how big, which licence, where to unpack."""
    from east.data.catalogue import describe_datasets

    for line in describe_datasets():
        typer.echo(line)


@app.command()
def verify(
    store: Annotated[str, typer.Argument(help="The store.")],
    repair: Annotated[bool, typer.Option(help="Set damaged clips pending, remove unfinished files.")] = False,
    source: Annotated[
        tuple[str, Path] | None,
        typer.Option("--from", metavar="DATASET ROOT", help="Compare with the index, and repair from it."),
    ] = None,
) -> None:
    """Read a whole store back; say what is damaged and which clips are to be done again."""
    from east.extract.repair import VerifyConfig
    from east.extract.repair import verify as run_verify

    dataset, root = source or (None, None)
    run_verify(VerifyConfig(store, repair, dataset, root), Terminal())


def _weights(choices: tuple[str, ...]) -> dict[str, str]:
    pairs = [choice.partition("=") for choice in choices]
    for name, sign, value in pairs:
        if not (name and sign and value):
            raise RefusedError(f"--weights {name}{sign}{value} is not NAME=PATH or NAME=random")
    return {name: value for name, _, value in pairs}


def main() -> None:
    """Entry point of the console script."""
    run_app(app, "extract")
