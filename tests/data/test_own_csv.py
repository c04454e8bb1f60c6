from collections.abc import Callable
from pathlib import Path

import pytest

from east.common.errors import RefusedError
from east.data.index import Index
from east.data.own_csv import OwnCsv
from east.data.splits import split_for

Read = Callable[[str], Index]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def index(text: str) -> Index:
        path = tmp_path / "clips.csv"
        path.write_text(text, encoding="utf-8")
        return OwnCsv().index(path)

    return index


def test_one_label(read: Read, tmp_path: Path) -> None:
    index = read("path,label\nb/1.wav,dog\n2.wav,cat\n3.wav,\n")
    assert index.task == "multi-class"
    assert index.classes == ("cat", "dog")
    assert index.labels.tolist() == [[0, 1], [1, 0], [-1, -1]]  # the last one is unlabelled
    assert index.ids == index.paths == ("b/1.wav", "2.wav", "3.wav")
    assert index.root == tmp_path


def test_several_labels(read: Read) -> None:
    index = read("id,path,labels\nx,1.wav,rain;wind\ny,2.wav,\nz,3.wav, wind ; \n")
    assert index.task == "multi-label"
    assert index.classes == ("rain", "wind")
    assert index.labels.tolist() == [[1, 1], [-1, -1], [0, 1]]
    assert index.ids == ("x", "y", "z")


def test_a_label_may_hold_a_semicolon(read: Read) -> None:
    assert read("path,label\n1.wav,a;b\n2.wav,c\n").classes == ("a;b", "c")


def test_byte_order_mark_and_short_rows(read: Read) -> None:
    index = read("\ufeffpath,label,split\n1.wav,a,train\n2.wav,b\n")
    assert index.given == ("train", "")


def test_given_split(read: Read) -> None:
    index = read("path,label,split,fold\n1.wav,a,train,1\n2.wav,b,test,2\n3.wav,b,,2\n")
    assert index.protocols == ("given",)
    assert split_for("given", 1, index).tolist() == ["train", "test", ""]
    assert index.folds.tolist() == [1, 2, 2]


def test_folds_name_their_protocols(read: Read) -> None:
    index = read("path,label,fold\n" + "".join(f"{i}.wav,{'ab'[i % 2]},{i % 4 + 1}\n" for i in range(8)))
    assert index.protocols == ("2-1-1", "3-1")
    assert split_for("2-1-1", 4, index)[:4].tolist() == ["valid", "train", "train", "test"]


def test_clip_without_a_fold_is_unused(read: Read) -> None:
    index = read("path,label,fold\n1.wav,a,1\n2.wav,b,2\n3.wav,a,\n")
    assert index.protocols == ("1-1",)
    assert split_for("1-1", 1, index).tolist() == ["test", "train", ""]


def test_without_split_and_fold_a_hash_decides_and_is_said_aloud(read: Read) -> None:
    rows = [f"{i}.wav,{'ab'[i % 2]}" for i in range(1000)]
    index = read("path,label\n" + "\n".join(rows))
    assert index.protocols == ("hashed",)
    counts = [index.given.count(name) for name in ("train", "valid", "test")]
    assert counts == pytest.approx([800, 100, 100], abs=40)
    assert f"{counts[0]} train, {counts[1]} valid, {counts[2]} test" in index.remarks[0]
    smaller = read("path,label\n" + "\n".join(rows[:500]))
    assert smaller.given == index.given[:500]  # a clip keeps its split as the collection grows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'path'"),
        ("file,label\n1.wav,a\n", "no column 'path'"),
        ("path\n1.wav\n", "either a column 'label'"),
        ("path,label,labels\n1.wav,a,a\n", "either a column 'label'"),
        ("path,label\n", "a header but no clips"),
        ("path,label\n1.wav,a\n2.wav,a\n", "nothing to tell apart"),
        ("path,label\n1.wav,a\n1.wav,b\n", "'1.wav' occurs twice"),
        ("path,label\n../1.wav,a\n2.wav,b\n", "leaves its root"),
        ("path,label\n/etc/passwd,a\n2.wav,b\n", "leaves its root"),
        ("path,label\n,a\n2.wav,b\n", "leaves its root"),
        ("path,label,split\n1.wav,a,training\n2.wav,b,test\n", "line 2: split 'training'"),
        ("path,label,fold\n1.wav,a,first\n2.wav,b,2\n", "line 2: fold 'first'"),
    ],
)
def test_what_is_malformed_is_refused(read: Read, text: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read(text)


def test_a_link_out_of_the_root_is_refused(read: Read, tmp_path: Path) -> None:
    outside = tmp_path.parent / "secret.wav"
    outside.write_bytes(b"")
    (tmp_path / "link.wav").symlink_to(outside)
    with pytest.raises(RefusedError, match="through a link"):
        read("path,label\nlink.wav,a\n2.wav,b\n")


def test_a_folder_or_a_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="ROOT is a CSV file, not a folder"):
        OwnCsv().index(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"path,label\n\xff\xfe\x00,a\n")
    with pytest.raises(RefusedError, match="not a CSV file in UTF-8"):
        OwnCsv().index(tmp_path / "a.csv")
