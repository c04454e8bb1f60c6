"""Downloads from a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from east.common.errors import RefusedError
from east.extract.teacher import PublishedFile, PublishedWeights, TeacherInfo
from east.extract.weights import cache_folder, resolve_weights

DATA = bytes(range(256)) * 20_000  # 5 MB, several chunks
SHA256 = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()


def info(*files: PublishedFile, third_party: bool = False) -> TeacherInfo:
    return TeacherInfo(
        name="tiny",
        sample_rate=16_000,
        feature=1,
        min_samples=1,
        windows="",
        supervision="supervised",
        packages=("east-audio",),
        licences={},
        citation="",
        weights=PublishedWeights(files, third_party),
    )


class Quietly(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Proxy(BaseHTTPRequestHandler):
    """Answers for any host."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "http://somewhere.invalid/net.pt" else 404)
        self.end_headers()
        self.wfile.write(DATA)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class HangsUp(BaseHTTPRequestHandler):
    """Promises the whole file and sends half of it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA[: len(DATA) // 2])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def serving(handler: object) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with one file; the cache is empty."""
    monkeypatch.setenv("EAST_WEIGHTS", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "net.pt").write_bytes(DATA)
    yield from serving(partial(Quietly, directory=str(tmp_path / "site")))


@pytest.fixture
def answering(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A server with this handler; the cache is empty."""
    monkeypatch.setenv("EAST_WEIGHTS", str(tmp_path / "cache"))
    yield from serving(request.param)


def in_cache() -> list[str]:
    return sorted(str(p.relative_to(cache_folder())) for p in cache_folder().rglob("*") if p.is_file())


@pytest.mark.parametrize("digest", [f"sha256:{SHA256}", f"md5:{MD5}", None])
def test_fetched_once_and_checked(site: str, tmp_path: Path, digest: str | None) -> None:
    teacher = info(PublishedFile("net.pt", f"{site}/net.pt", digest, len(DATA)))
    weights = resolve_weights(teacher, None)
    assert (weights.source, weights.sha256) == ("published", SHA256)
    assert weights.path is not None
    assert weights.path.read_bytes() == DATA
    (tmp_path / "site" / "net.pt").unlink()
    assert resolve_weights(teacher, None) == weights
    assert in_cache() == ["tiny/net.pt"]


def test_several_files_are_one_folder_and_have_one_hash(site: str, tmp_path: Path) -> None:
    (tmp_path / "site" / "config.json").write_text("{}")
    (tmp_path / "site" / "names.json").write_text("{}")
    teacher = info(
        PublishedFile("net.pt", f"{site}/net.pt"),
        PublishedFile("config.json", f"{site}/config.json"),
        PublishedFile("names.json", f"{site}/names.json", identifies=False),
    )
    weights = resolve_weights(teacher, None)
    assert weights.path == cache_folder() / "tiny"
    lines = f"{hashlib.sha256(b'{}').hexdigest()}  config.json\n{SHA256}  net.pt\n"
    # The list is sorted by name, and what does not identify is left out of it.
    assert weights.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert resolve_weights(teacher, str(weights.path)).sha256 == weights.sha256


def test_a_wrong_hash_stops_with_both_values_and_may_be_overruled(site: str) -> None:
    teacher = info(PublishedFile("net.pt", f"{site}/net.pt", "md5:" + "0" * 32), third_party=True)
    with pytest.raises(RefusedError) as error:
        resolve_weights(teacher, None)
    assert f"its md5 is {MD5}, published is {'0' * 32} according to a third party" in str(error.value)
    assert f"--weights tiny=sha256:{SHA256} overrules" in str(error.value)
    assert in_cache() == []
    assert resolve_weights(teacher, f"sha256:{SHA256}").sha256 == SHA256


def test_a_wrong_size_stops(site: str) -> None:
    teacher = info(PublishedFile("net.pt", f"{site}/net.pt", size=7))
    with pytest.raises(RefusedError, match=f"it has {len(DATA)} bytes, published are 7"):
        resolve_weights(teacher, None)
    assert in_cache() == []


def test_no_such_file_is_one_line(site: str) -> None:
    teacher = info(PublishedFile("gone.pt", f"{site}/gone.pt"))
    with pytest.raises(RefusedError, match=r"\(the server answers 404\): put gone\.pt into .*tiny yourself"):
        resolve_weights(teacher, None)


@pytest.mark.parametrize("answering", [HangsUp], indirect=True)
def test_a_connection_that_breaks_leaves_nothing_and_the_next_starts_clean(answering: str) -> None:
    teacher = info(PublishedFile("net.pt", f"{answering}/net.pt"))
    for _ in range(2):
        with pytest.raises(RefusedError, match="no whole answer"):
            resolve_weights(teacher, None)
        assert in_cache() == []


@pytest.mark.parametrize("answering", [Proxy], indirect=True)
def test_the_usual_proxy_variables_hold(answering: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", answering)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    teacher = info(PublishedFile("net.pt", "http://somewhere.invalid/net.pt"))
    assert resolve_weights(teacher, None).sha256 == SHA256
