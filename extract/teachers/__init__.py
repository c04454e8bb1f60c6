"""The teachers: one file each."""

from east.common.registry import Registry
from east.extract.teacher import Teacher

TEACHERS: Registry[type[Teacher]] = Registry(
    kind="teacher",
    group="east.teachers",
    table={
        "musicnn": "east.extract.teachers.musicnn:Musicnn",
    },
)
