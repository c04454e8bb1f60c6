"""The data sets for a person: what to download, from where, how big, which licence, where to unpack."""

from collections.abc import Iterator

from east.data import DATASETS


def describe_datasets() -> Iterator[str]:
    """Lines about every data set that `extract run` knows by name."""
    for name in DATASETS.names():
        info = DATASETS.load(name).info
        task = "multi-class or multi-label" if info.task == "either" else info.task
        yield f"{name}: {task}, clips of up to {info.max_seconds:g} s"
        yield f"  licence: {info.licence}"
        for file in info.downloads:
            yield f"  download: {file.url} ({', '.join(part for part in (file.size, file.checksum) if part)})"
        yield f"  {info.layout}"
