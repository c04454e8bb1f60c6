"""Data sets: one file each, a class whose `index(root)` says which clips there are and their labels."""

from east.common.registry import Registry
from east.data.index import Dataset

DATASETS: Registry[type[Dataset]] = Registry(
    kind="data set",
    group="east.datasets",
    table={
        "magnatagatune": "east.data.magnatagatune:MagnaTagATune",
        "esc50": "east.data.esc50:Esc50",
        "fma-small": "east.data.fma_small:FmaSmall",
        "openmic": "east.data.openmic:OpenMic",
        "csv": "east.data.own_csv:OwnCsv",
        "demo": "east.data.demo:Demo",
        "demo-shift": "east.data.demo:DemoShift",
    },
)
