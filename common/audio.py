"""Decoding and resampling: one way for every teacher, one way for every student.

Teachers hear the original audio in float32, channels averaged, resampled (soxr HQ) to their own rate.
Students hear the stored signal: mono, 16 kHz, int16.
"""

import errno
import math
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from east.common.errors import AudioError

if TYPE_CHECKING:
    from soundfile import SoundFile

Samples = npt.NDArray[np.float32]

STORED_RATE = 16_000  # Hz
INT16_SCALE = 32_767

_READ_SAMPLES = 1 << 18  # of all channels together
_HIGHEST_RATE = 1_000_000  # Hz; a header with more lies, and would have all of a long file read
_TRUNCATION_TOLERANCE = 0.1  # seconds; codecs round the promised length to their own frames
_OGG_LAST_PAGES = 1 << 17  # bytes; an Ogg page has at most 65,307
_UNKNOWN_WAV_LENGTH = 0x7FFF0000  # bytes; writers that stream put a maximal length into the header


@dataclass(frozen=True)
class Audio:
    """A decoded file.

    Attributes:
        samples: Mono signal, (samples,) float32 in [-1, 1], cut at the length asked for.
        rate: Sample rate of the file in Hz.
        duration: Length of the whole file in seconds, before cutting.
    """

    samples: Samples
    rate: int
    duration: float


def decode(path: Path, max_seconds: float = math.inf) -> Audio:
    """Decode the first `max_seconds` of a wav, flac, ogg or mp3 file of any rate to mono.

    Raises:
        AudioError: The file is missing, empty, not audio, holds NaN, or ends before the length its header
            promises.
        OSError: The file system itself fails.
    """
    # soundfile loads libsndfile: deferred, so that reading a store does not need it.
    import soundfile

    _check_file(path)
    try:
        with soundfile.SoundFile(path) as file:
            return _read(file, path, max_seconds)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"cannot be decoded: {error.error_string}") from error


def _check_file(path: Path) -> None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AudioError("no such file") from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES):
            raise AudioError(f"cannot be opened: {error.strerror}") from error
        raise
    if not stat.S_ISREG(found.st_mode):  # a folder, a pipe that nobody writes into
        raise AudioError("not a regular file")
    if found.st_size == 0:
        raise AudioError("the file is empty (0 bytes)")


def _read(file: "SoundFile", path: Path, max_seconds: float) -> Audio:
    rate, promised = int(file.samplerate), int(file.frames)
    if rate > _HIGHEST_RATE:
        raise AudioError(f"its header claims a rate of {rate} Hz")
    wanted = round(min(max_seconds * rate, sys.maxsize))
    # Read by pieces and up to the cut only: memory does not follow the length of the file.
    pieces: list[Samples] = []
    read = 0
    while read < wanted:
        piece = file.read(min(_READ_SAMPLES // file.channels, wanted - read), dtype="float32", always_2d=True)
        if not len(piece):
            break
        pieces.append(piece.mean(axis=1, dtype=np.float32))
        read += len(piece)
    if read == 0:
        raise AudioError("the file holds no samples")
    if read < wanted:
        _check_complete(file, path, read, min(promised, wanted))
    samples = np.concatenate(pieces)
    if not np.isfinite(samples).all():
        raise AudioError("the file holds samples that are no numbers (NaN or Inf)")
    return Audio(samples, rate, duration=(promised if read == wanted else read) / rate)


def _check_complete(file: "SoundFile", path: Path, read: int, promised: int) -> None:
    """Refuse a file that breaks off; each format hides it in its own way."""
    missing = (promised - read) / file.samplerate
    if missing > _TRUNCATION_TOLERANCE:
        raise AudioError(f"truncated: ends after {read / file.samplerate:.2f} s, {missing:.2f} s are missing")
    # libsndfile lowers the frame count of a cut wav to what is there and tells only in its log.
    cut = re.search(r"data\s*: (\d+) \(should be (\d+)\)", file.extra_info)
    if cut and int(cut[2]) < int(cut[1]) < _UNKNOWN_WAV_LENGTH:
        raise AudioError(f"truncated: {cut[2]} of {cut[1]} bytes of sound are there")
    # Ogg has no length at all; its last page carries an end-of-stream flag (RFC 3533, section 6).
    if file.format == "OGG" and not _ends_with_last_page(path):
        raise AudioError(f"truncated: the Ogg stream breaks off after {read / file.samplerate:.2f} s")


def _ends_with_last_page(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _OGG_LAST_PAGES))
        tail = file.read()
    page = tail.rfind(b"OggS")
    return page >= 0 and len(tail) > page + 5 and bool(tail[page + 5] & 4)


def resample(samples: Samples, rate: int, target: int) -> Samples:
    """Resample (samples,) float32 from `rate` to `target` Hz with soxr's HQ setting."""
    import soxr

    if rate == target:
        return samples
    return np.asarray(soxr.resample(samples, rate, target, quality="HQ"), dtype=np.float32)


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    """Round and clip float samples in [-1, 1] to int16, scale 32767."""
    scaled = np.rint(samples * np.float32(INT16_SCALE))
    rounded: npt.NDArray[np.int16] = np.clip(scaled, -32_768, 32_767).astype(np.int16)
    return rounded
