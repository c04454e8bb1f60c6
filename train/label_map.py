"""Label maps: which tags of the data set a student was trained on stand for a class of another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import yaml

from east.common.errors import RefusedError
from east.train.metrics import Probabilities

_COMBINE: Mapping[str, Callable[..., Probabilities]] = {"maximum": np.max, "mean": np.mean}


@dataclass(frozen=True)
class LabelMap:
    """Target class -> the source's tags that stand for it.

    Attributes:
        name: Of a map that comes with the project, of the user's file, or "equal names".
        labels: Target class -> tags of the source, at least one.
        combine: What the score of several tags is: their "maximum" or "mean".
    """

    name: str
    labels: Mapping[str, tuple[str, ...]]
    combine: str = "maximum"

    def check(self, source: Sequence[str], target: Sequence[str]) -> None:
        """Refuse classes that do not exist on their side.

        Raises:
            RefusedError: Names them.
        """
        tags = [tag for tags in self.labels.values() for tag in tags]
        for names, there, side in ((tags, source, "the student"), (self.labels, target, "the store")):
            missing = [name for name in dict.fromkeys(names) if name not in there]
            if missing:
                raise RefusedError(
                    f"label map {self.name!r} names {', '.join(missing)}, which {side} does not know "
                    f"(it has: {', '.join(there)}): mend the map"
                )

    def apply(self, scores: Probabilities, source: Sequence[str]) -> Probabilities:
        """(clip, source class) -> (clip, mapped class), in the order of `labels`."""
        combine = _COMBINE[self.combine]
        columns = [[source.index(tag) for tag in tags] for tags in self.labels.values()]
        return np.stack([combine(scores[:, tags], axis=1) for tags in columns], axis=1)


def equal_names(source: Sequence[str], target: Sequence[str]) -> LabelMap:
    """The map of classes that have the same name on both sides.

    Raises:
        RefusedError: There is none.
    """
    labels = {name: (name,) for name in target if name in source}
    if not labels:
        raise RefusedError(
            f"no class of the store ({', '.join(target)}) is one of the student's ({', '.join(source)}): "
            "say with --label-map FILE which belong together"
        )
    return LabelMap("equal names", labels)


def shipped_maps() -> dict[str, str]:
    """The maps that come with the project, name -> text of the file."""
    found = sorted(files("east.common.label_maps").iterdir(), key=lambda file: file.name)
    return {f.name.removesuffix(".yaml"): f.read_text("utf-8") for f in found if f.name.endswith(".yaml")}


def load_label_map(choice: str) -> LabelMap:
    """A map by its name, or from a file of the user's.

    Raises:
        RefusedError: There is no such map, or the file is not one.
    """
    shipped = shipped_maps()
    if choice in shipped:
        return parse_label_map(choice, shipped[choice])
    try:
        return parse_label_map(choice, Path(choice).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(
            f"--label-map {choice} is neither a file that can be read nor one of {', '.join(shipped)}"
        ) from error


def parse_label_map(name: str, text: str) -> LabelMap:
    """Read `labels` (class -> list of tags) and `combine` (maximum, the default, or mean).

    Raises:
        RefusedError: The text is something else; says what is wrong.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise RefusedError(f"label map {name} is not YAML: {reason}") from error
    if not isinstance(document, dict) or not set(document) <= {"labels", "combine"}:
        raise RefusedError(f"label map {name} must have `labels` and may have `combine`, nothing else")
    labels, combine = document.get("labels"), document.get("combine", "maximum")
    if combine not in _COMBINE:
        raise RefusedError(f"label map {name}: combine is {combine!r}, it can be {' or '.join(_COMBINE)}")
    if not isinstance(labels, dict) or not labels:
        raise RefusedError(f"label map {name}: `labels` must name at least one class")
    for target, tags in labels.items():
        # YAML takes some bare words (no, on, 1990) for something else than text.
        if not (isinstance(tags, list) and tags and all(isinstance(word, str) for word in (target, *tags))):
            raise RefusedError(
                f"label map {name}: {target!r} must be text and have a list of tags, as `drums: [drum, beat]`"
            )
    return LabelMap(name, {target: tuple(tags) for target, tags in labels.items()}, combine)
