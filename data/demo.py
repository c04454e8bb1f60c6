"""The demo data sets: rendered on the spot, seeded, nothing to download.

The test clips are played by other programs of the same instrument families than the training clips, and
those of the second sound world, `demo-shift`, by yet others in a reverberant, noisy room.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np

from east.common.errors import RefusedError
from east.data.demo_music import SECONDS, TAGS, compose, draw_phrase, make_renderer, put_into_room
from east.data.index import DatasetInfo, Index
from east.data.splits import TEST, TRAIN, VALID

_MANIFEST = "clips.csv"


class Demo:
    """480 training, 120 valid and 200 test clips of 4 s; ROOT is where they are rendered, once.

    The same samples on every run: each clip follows from its split and number alone.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="demo",
        task="multi-label",
        max_seconds=SECONDS,
        layout="nothing to fetch: ROOT is the folder to render into",
        licence="rendered from TimGM6mb.sf2 (GPL-2.0), which the package pretty_midi ships",
    )
    sizes: ClassVar[dict[str, int]] = {TRAIN: 480, VALID: 120, TEST: 200}
    programs: ClassVar[dict[str, str]] = {TRAIN: "train", VALID: "train", TEST: "test"}
    room: ClassVar[bool] = False
    seed: ClassVar[int] = 1

    def index(self, root: Path) -> Index:
        """See `Dataset.index`; renders into `root` what is not there yet.

        Raises:
            RefusedError: `root` holds something else, or the packages that render are not installed.
        """
        if not (root / _MANIFEST).is_file():
            self._render(root)
        with (root / _MANIFEST).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        tags = [set(row["labels"].split(";")) for row in rows]
        return Index(
            dataset=self.info.name,
            task="multi-label",
            classes=TAGS,
            ids=tuple(Path(row["path"]).stem for row in rows),
            paths=tuple(row["path"] for row in rows),
            labels=np.array([[tag in t for tag in TAGS] for t in tags]).astype(np.int8),
            folds=np.full(len(rows), -1, dtype=np.int8),
            given=tuple(row["split"] for row in rows),
            protocols=("given",),
            max_seconds=SECONDS,
            root=root,
        )

    def _render(self, root: Path) -> None:
        import soundfile

        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise RefusedError(f"{root} holds something else: give {self.info.name!r} an empty or new folder")
        render = make_renderer()
        # Under another name until it is whole, so that a killed rendering is not taken for a finished one.
        partial = root.with_name(f"{root.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "audio").mkdir(parents=True)
        with (partial / _MANIFEST).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["path", "labels", "split"])
            for split, size in self.sizes.items():
                for number in range(size):
                    random = np.random.default_rng([self.seed, list(self.sizes).index(split), number])
                    phrase = draw_phrase(random)
                    audio, rate = render(compose(phrase, self.programs[split], random))
                    if self.room:
                        audio = put_into_room(audio, rate, random)
                    path = f"audio/{split}-{number:03d}.flac"
                    soundfile.write(partial / path, audio, rate, subtype="PCM_16")
                    table.writerow([path, ";".join(phrase.tags), split])
        if root.exists():
            root.rmdir()
        partial.rename(root)


class DemoShift(Demo):
    """The second sound world: 200 clips, all for testing."""

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="demo-shift",
        task="multi-label",
        max_seconds=SECONDS,
        layout=Demo.info.layout,
        licence=Demo.info.licence,
    )
    sizes: ClassVar[dict[str, int]] = {TEST: 200}
    programs: ClassVar[dict[str, str]] = {TEST: "shift"}
    room: ClassVar[bool] = True
    seed: ClassVar[int] = 2
