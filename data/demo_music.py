"""The music of the demo: random phrases for a few instruments, rendered from a General MIDI sound font."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from east.common.errors import RefusedError

if TYPE_CHECKING:
    from pretty_midi import Instrument, PrettyMIDI

Audio = npt.NDArray[np.float64]
Random = np.random.Generator

SECONDS = 4.0
GAIN = 2.0  # the renderer is quiet; the same for every clip, since loudness is a tag
_PEAK = 0.98


@dataclass(frozen=True)
class Family:
    """A family of instruments.

    Attributes:
        name: Tag.
        train: General MIDI programs (from 0) of the training and valid clips.
        test: Programs of the test clips.
        shift: Programs of the second sound world.
        low: Lowest pitch (MIDI number) of its register of two octaves.
    """

    name: str
    train: tuple[int, ...]
    test: tuple[int, ...]
    shift: tuple[int, ...]
    low: int


FAMILIES = (
    Family("bass", (32, 33, 36), (34,), (35, 37), 28),
    Family("brass", (56, 57, 61), (60,), (58, 62), 50),
    Family("guitar", (24, 26, 27), (25,), (28, 29), 45),
    Family("mallets", (11, 12, 13), (9,), (8, 10), 60),
    Family("organ", (16, 17, 19), (18,), (20, 21), 48),
    Family("piano", (0, 1, 4), (2,), (3, 5), 48),
    Family("pipe", (73, 74, 75), (72,), (77, 79), 62),
    Family("reed", (64, 65, 68), (66,), (69, 71), 52),
    Family("strings", (40, 42, 48), (41,), (44, 49), 50),
)
DRUMS = Family("drums", (0, 8, 16), (24,), (25, 40), 0)
TAGS = (*sorted(f.name for f in (*FAMILIES, DRUMS)), "fast", "slow", "loud", "quiet")

_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10), (0, 2, 4, 7, 9))
_STEPS = (0.5, 0.5, 1.0, 1.0, 2.0)  # note lengths in beats
_KICK, _SNARE, _HAT = 36, 38, 42


@dataclass(frozen=True)
class Phrase:
    """What is played in one clip.

    Attributes:
        families: Who plays, one to three; may include the drums.
        tempo: Beats per minute.
        velocity: Loudness of the notes, 1 to 127.
    """

    families: tuple[Family, ...]
    tempo: float
    velocity: int

    @property
    def tags(self) -> list[str]:
        """Names from `TAGS`; in the middle a phrase is neither fast nor slow, neither loud nor quiet."""
        tags = [family.name for family in self.families]
        tags += ["fast"] * (self.tempo > 130) + ["slow"] * (self.tempo < 85)
        return tags + ["loud"] * (self.velocity > 100) + ["quiet"] * (self.velocity < 60)


def draw_phrase(random: Random) -> Phrase:
    """One to three melodic families, drums in two of five phrases, any tempo and loudness."""
    chosen = random.choice(len(FAMILIES), size=random.integers(1, 4), replace=False)
    families = tuple(FAMILIES[i] for i in sorted(chosen))
    families += (DRUMS,) * bool(random.random() < 0.4)
    return Phrase(families, float(random.uniform(60, 170)), int(random.integers(35, 127)))


def compose(phrase: Phrase, programs: str, random: Random) -> PrettyMIDI:
    """Write the phrase down: every family a line of its own in one key.

    Args:
        phrase: Who plays and how.
        programs: Which programs play: "train", "test" or "shift".
        random: Source of all choices.
    """
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(initial_tempo=phrase.tempo)
    key, scale = int(random.integers(12)), _SCALES[random.integers(len(_SCALES))]
    for family in phrase.families:
        program = int(random.choice(getattr(family, programs)))
        part = pretty_midi.Instrument(program, is_drum=family is DRUMS)
        if part.is_drum:
            _drum(part, phrase, random)
        else:
            _play(part, family, phrase, [key + degree for degree in scale], random)
        midi.instruments.append(part)
    return midi


def _play(part: Instrument, family: Family, phrase: Phrase, scale: list[int], random: Random) -> None:
    """A random walk over the scale, now and then a chord of two or a rest."""
    pitches = sorted(p for p in range(family.low, family.low + 24) if p % 12 in {s % 12 for s in scale})
    place, time, beat = int(random.integers(len(pitches))), 0.0, 60 / phrase.tempo
    while time < SECONDS:
        length = float(random.choice(_STEPS)) * beat
        place = int(np.clip(place + random.integers(-3, 4), 0, len(pitches) - 1))
        if random.random() > 0.12:
            for pitch in (
                {pitches[place], pitches[max(0, place - 2)]} if random.random() < 0.25 else {pitches[place]}
            ):
                _note(part, phrase, pitch, time, 0.9 * length, random)
        time += length


def _drum(part: Instrument, phrase: Phrase, random: Random) -> None:
    """Kick and snare in turn, hats in eighths, one in ten left out."""
    eighth = 30 / phrase.tempo
    for number in range(int(SECONDS / eighth) + 1):
        for pitch in {_HAT} | ({_KICK if number % 4 == 0 else _SNARE} if number % 2 == 0 else set()):
            if random.random() > 0.1:
                _note(part, phrase, pitch, number * eighth, 0.1, random)


def _note(part: Instrument, phrase: Phrase, pitch: int, start: float, length: float, random: Random) -> None:
    import pretty_midi

    velocity = int(np.clip(phrase.velocity + random.integers(-8, 9), 1, 127))
    if start < SECONDS:
        part.notes.append(pretty_midi.Note(velocity, pitch, start, min(start + length, SECONDS)))


def make_renderer() -> Callable[[PrettyMIDI], tuple[Audio, int]]:
    """A function from a score to `SECONDS` of mono sound, (samples,) in [-1, 1], and its rate.

    Raises:
        RefusedError: The packages of the extra `demo` are not installed.
    """
    try:
        import midirenderer
        import pretty_midi
    except ModuleNotFoundError as error:
        raise RefusedError(f"the demo needs the package {error.name}: pip install '.[demo]'") from error
    import soundfile

    font = (Path(pretty_midi.__file__).parent / "TimGM6mb.sf2").read_bytes()

    def render(midi: PrettyMIDI) -> tuple[Audio, int]:
        score = io.BytesIO()
        midi.write(score)
        stereo, rate = soundfile.read(io.BytesIO(midirenderer.render_wave_from(font, score.getvalue())))
        mono = GAIN * stereo.mean(axis=1)
        length = round(SECONDS * rate)
        return limit(np.pad(mono[:length], (0, max(0, length - len(mono))))), int(rate)

    return render


def limit(audio: Audio) -> Audio:
    """Turn down what would clip."""
    return np.asarray(audio * min(1.0, _PEAK / max(float(np.abs(audio).max()), 1e-9)))


def put_into_room(audio: Audio, rate: int, random: Random) -> Audio:
    """Reverberation (decaying noise, 0.4 to 1 s to -60 dB), and noise 20 to 35 dB below the music."""
    decay = 10 ** (-3 * np.arange(rate) / rate / random.uniform(0.4, 1.0))
    size = len(audio) + rate
    echo = np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(random.normal(size=rate) * decay, size), size)
    wet = echo[: len(audio)]
    wet *= 0.5 * _rms(audio) / _rms(wet)
    noise = random.normal(size=len(audio)) * _rms(audio) * 10 ** (-random.uniform(20, 35) / 20)
    return limit(audio + wet + noise)


def _rms(audio: Audio) -> float:
    return float(np.sqrt(np.mean(audio**2))) + 1e-9
