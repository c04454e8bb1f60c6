"""Errors that a user sees: one line that names the file or value and the mend."""

from typing import ClassVar


class EastError(Exception):
    """Work failed: the command ends with exit code 1 and this line."""

    exit_code: ClassVar[int] = 1


class RefusedError(EastError):
    """The request cannot be carried out as it stands; nothing was written (exit code 2)."""

    exit_code: ClassVar[int] = 2


class StoreError(RefusedError):
    """A store is missing, is none of ours, or does not match what is asked of it."""


class AudioError(EastError):
    """One audio file cannot be used; its clip is recorded as failed and the job goes on."""
