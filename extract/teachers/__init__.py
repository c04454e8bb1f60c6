"""The teachers: one file each."""

from collections.abc import Callable

from east.common.registry import Registry
from east.extract.teacher import TeacherClass

TEACHERS: Registry[TeacherClass] = Registry(
    kind="teacher",
    group="east.teachers",
    table={
        "passt": "east.extract.teachers.passt:Passt",
        "panns": "east.extract.teachers.panns:Panns",
        "mule": "east.extract.teachers.mule:Mule",
        "discogs": "east.extract.teachers.discogs:Discogs",
        "discogs-onnx": "east.extract.teachers.discogs_onnx:DiscogsOnnx",
        "musicnn": "east.extract.teachers.musicnn:Musicnn",
    },
)
FAMILIES: Registry[Callable[[str], TeacherClass]] = Registry(
    kind="family of teachers",
    group="east.teacher_families",
    table={
        "hear": "east.extract.teachers.hear:HearModule",
    },
)
"""Teachers that are named with an argument, as "hear:MODULE"."""


def find_teacher(name: str) -> TeacherClass:
    """Import a teacher by the name that a user gives, "NAME" or "FAMILY:ARGUMENT".

    Raises:
        RefusedError: There is none of that name, or the package it needs is not installed.
    """
    family, colon, argument = name.partition(":")
    return FAMILIES.load(family)(argument) if colon else TEACHERS.load(name)
