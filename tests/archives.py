"""Miniature copies of the published archives, in their exact layout, as fixtures.

What the tests count is worked out by hand from the rules written here.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

MTAT_EMPTY = {
    6: "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
    8: "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
    9: "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-"
    "le_petit_rien_xiveme_ordre_couperin-88-117.mp3",
}  # clip number -> a file that is empty in the public archive too
MTAT_TAGS = [*(f"rare {n:02d}" for n in range(60)), *(f"unused {n:03d}" for n in range(125))]
MTAT_TAGS[100:100] = ["piano", "techno"]
MTAT_TAGS.append("guitar")  # 188: the most frequent one stands last

FMA_GENRES = ["Hip-Hop", "Folk", "Rock"]
FMA_KNOWN = {98565: 1.6, 98567: 0.5, 98569: 1.5, 99134: 0, 108925: 0, 133297: 0}  # track -> seconds

OPENMIC_CLASSES = [
    *("accordion", "banjo", "bass", "cello", "clarinet", "cymbals", "drums", "flute", "guitar"),
    *("mallet_percussion", "mandolin", "organ", "piano", "saxophone", "synthesizer", "trombone"),
    *("trumpet", "ukulele", "violin", "voice"),
]


def write_sound(path: Path, seconds: float, number: int, rate: int = 16_000) -> None:
    """A tone of its own pitch; no bytes at all where it lasts 0 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if seconds:
        time = np.arange(round(seconds * rate)) / rate
        soundfile.write(path, (0.3 * np.sin(2 * np.pi * (200 + 40 * number) * time)).astype(np.float32), rate)
    else:
        path.write_bytes(b"")


@pytest.fixture
def tiny_magnatagatune(tmp_path: Path) -> Path:
    """32 clips: 0 to 19 train, 20 to 24 valid, 25 to 31 test; 6, 8 and 9 are empty.

    "guitar" on even clips, "piano" on every fourth, "techno" on 1, 9, 17, 25. Each rare tag on one clip: the
    first 47, which are among the 50 most frequent by their place in the file, on clip 0, the rest on clip 3.
    """
    root = tmp_path / "magnatagatune"
    lines = []
    for clip in range(32):
        folder = "0123456789ab"[clip % 12] if clip < 20 else "c" if clip < 25 else "def"[clip % 3]
        path = MTAT_EMPTY.get(clip, f"{folder}/artist-album-{clip:02d}-title-0-29.mp3")
        write_sound(root / path, 0 if clip in MTAT_EMPTY else 0.5, clip)
        tags = {"guitar"} if clip % 2 == 0 else set()
        tags |= {"piano"} if clip % 4 == 0 else set()
        tags |= {"techno"} if clip % 8 == 1 else set()
        tags |= {0: set(MTAT_TAGS[:47]), 3: set(MTAT_TAGS[47:60])}.get(clip, set())
        lines.append([str(100 + clip), *("1" if tag in tags else "0" for tag in MTAT_TAGS), path])
    with (root / "annotations_final.csv").open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL)
        table.writerow(["clip_id", *MTAT_TAGS, "mp3_path"])
        table.writerows(lines)
    return root


@pytest.fixture
def tiny_fma_small(tmp_path: Path) -> Path:
    """30 tracks of the small subset, ten of each genre: 20 training, 5 validation, 5 test; 3 are empty.

    Between them stand tracks of larger subsets, without files.
    """
    root = tmp_path / "fma"
    tracks = {1000 * i + 2: ((i + i // 6) % 3, i % 6) for i in range(24)}  # track -> genre, place
    tracks |= {track: (i % 3, (0, 4, 5, 0, 1, 2)[i]) for i, track in enumerate(FMA_KNOWN)}
    lines = []
    for number, (track, (genre, place)) in enumerate(tracks.items()):
        split = {4: "validation", 5: "test"}.get(place, "training")
        lines.append(
            [track, "<p>two\nlines</p>", split, "small", 256000, FMA_GENRES[genre], f"Title, {track}"]
        )
        name = f"{track:06d}"
        write_sound(root / "fma_small" / name[:3] / f"{name}.mp3", FMA_KNOWN.get(track, 0.5), number, 44_100)
    lines.insert(1, [3, "", "training", "medium", 320000, "Electronic", "A medium track"])
    lines.insert(5, [20, "", "test", "large", 192000, "", "A large track"])
    (root / "fma_metadata").mkdir()
    with (root / "fma_metadata" / "tracks.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["", "album", "set", "set", "track", "track", "track"])
        table.writerow(["", "information", "split", "subset", "bit_rate", "genre_top", "title"])
        table.writerow(["track_id", "", "", "", "", "", ""])
        table.writerows(lines)
    return root


@pytest.fixture
def tiny_openmic(tmp_path: Path) -> Path:
    """40 clips, every fifth (4, 9, ...) a test clip; of clip 39 nothing is known.

    "piano" is known of the others: probability 1 on every third (0, 3, ...), else 0. "voice" is known of the
    even ones: 0.5 on every fourth, else 0.49. What is not known has probability 0.5, as in the archive.
    """
    root = tmp_path / "openmic-2018"
    keys = [f"{1000 * clip + 46:06d}_{1280 * clip}" for clip in range(40)]
    truth, mask = np.full((40, 20), 0.5), np.zeros((40, 20), dtype=bool)
    clips = np.arange(39)
    truth[clips, 12], mask[clips, 12] = clips % 3 == 0, True
    truth[clips[::2], 19], mask[clips[::2], 19] = np.where(clips[::2] % 4 == 0, 0.5, 0.49), True
    for clip, key in enumerate(keys):
        write_sound(root / "audio" / key[:3] / f"{key}.ogg", 0.5, clip, 44_100)
    features = np.zeros((40, 10, 128), dtype=np.uint8)
    np.savez(
        root / "openmic-2018.npz",
        X=features,
        Y_true=truth,
        Y_mask=mask,
        sample_key=np.array(keys, dtype=object),
    )
    (root / "class-map.json").write_text(json.dumps({name: i for i, name in enumerate(OPENMIC_CLASSES)}))
    (root / "partitions").mkdir()
    for part, chosen in (("train", [k for k in keys if keys.index(k) % 5 < 4]), ("test", keys[4::5])):
        (root / "partitions" / f"split01_{part}.csv").write_text("".join(f"{key}\n" for key in chosen))
    return root
