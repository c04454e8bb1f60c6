"""The teachers: one file each."""

from collections.abc import Callable

from east.common.registry import Registry
from east.extract.teacher import Teacher

TEACHERS: Registry[type[Teacher]] = Registry(
    kind="teacher",
    group="east.teachers",
    table={
        "musicnn": "east.extract.teachers.musicnn:Musicnn",
    },
)
FAMILIES: Registry[Callable[[str], type[Teacher]]] = Registry(
    kind="family of teachers",
    group="east.teacher_families",
    table={
    },
)
"""Teachers that are named with an argument, as "hear:MODULE"."""


def find_teacher(name: str) -> type[Teacher]:
    """Import a teacher by the name that a user gives, "NAME" or "FAMILY:ARGUMENT".

    Raises:
        RefusedError: There is none of that name, or the package it needs is not installed.
    """
    family, colon, argument = name.partition(":")
    return FAMILIES.load(family)(argument) if colon else TEACHERS.load(name)
