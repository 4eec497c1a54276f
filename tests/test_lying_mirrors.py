"""Mirrors that lie: of lengths, of kinds, of where the file is; that never end, or never get on."""

from __future__ import annotations

import hashlib
import io
import re
import socketserver
import threading
import time
from contextlib import contextmanager

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import FakeDataset

from benchmark.console import Reporter
from benchmark.data import fetch
from benchmark.data.download import download
from benchmark.data.fetch import Fetcher, Unavailable
from benchmark.errors import UserError
from tasks.base import Remote

CONTENT = bytes(range(256)) * 400
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT


@contextmanager
def saying(answers):
    """A server that answers every path by the bytes of an iterable, and closes; yields what addresses begin with."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            line = self.rfile.readline().decode("latin-1").split()
            while self.rfile.readline().strip():
                pass
            answer = answers[line[1]]
            try:
                for piece in [answer] if isinstance(answer, bytes) else answer():
                    self.wfile.write(piece)
                    if line[0] == "HEAD":
                        return
            except OSError:  # who asked has had enough
                return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def fetched(folder, answers, checksum=SHA256, paths=("/x",), name="x.bin"):
    """What becomes of a file of one mirror, or of several: its content, or why it is not to be had."""
    folder.mkdir(exist_ok=True)
    with saying(answers) as at:
        remote = Remote(name, tuple(at + path for path in paths), checksum, name)
        try:
            return Fetcher(folder, Reporter(), quiet=True).fetch(remote).read_bytes()
        except Unavailable as error:
            return str(error).removeprefix(f"{at}{paths[0]}: ")


def head(*lines, status="200 OK"):
    return f"HTTP/1.1 {status}\r\n".encode() + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def endless(beginning, piece=bytes(2**16)):
    def answer():
        yield beginning
        while True:
            yield piece

    return answer


def chunks_without_end():
    yield head(b"Transfer-Encoding: chunked")
    while True:
        yield b"10000\r\n" + bytes(2**16) + b"\r\n"


def drip():
    yield head(b"Content-Length: 1000000")
    while True:
        yield b"."
        time.sleep(0.05)


BROKE, OTHER, NO_HTTP = "the connection broke off", "is not the file whose checksum is published", "no HTTP"
LIES = {
    "length of words": (head(b"Content-Length: many") + b"x", OTHER),
    "length below zero": (head(b"Content-Length: -5") + b"x", OTHER),
    "two lengths": (head(b"Content-Length: 5", b"Content-Length: 6") + b"xxxxx", NO_HTTP),
    "length of no end": (head(b"Content-Length: " + b"9" * 5000) + b"x", OTHER),
    "length in other digits": (head("Content-Length: ٣".encode()) + b"x", OTHER),
    "more than there is room": (head(b"Content-Length: 900000000000000") + b"x", "states 900,000.0 GB, and "),
    "longer than it is": (head(b"Content-Length: 900") + b"x", BROKE),
    "shorter than it is": (head(b"Content-Length: 9") + CONTENT, OTHER),
    "another file": (head(b"Content-Length: 3") + b"xyz", OTHER),
    "a page": (head(b"Content-Type: text/html; charset=utf-8") + b"<html>", "answers with a web page"),
    "encoded": (
        head(b"Content-Encoding: gzip", b"Content-Length: 9") + b"\x1f\x8b\x08xxxxxx",
        "sends it encoded (gzip)",
    ),
    "part of another": (
        head(b"Content-Range: bytes 5-9/99999999999999999999999", b"Content-Length: 5", status="206 Partial")
        + b"xxxxx",
        OTHER,
    ),
    "no end": (endless(head()), "sends more than 1,000,000 bytes"),
    "no end in chunks": (chunks_without_end, "sends more than 1,000,000 bytes"),
    "headers without end": (endless(b"HTTP/1.1 200 OK\r\n", b"X-%d: x\r\n" * 99), BROKE),
    "a line without end": (endless(b"HTTP/1.1 200 OK\r\nX: "), BROKE),
    "a bad chunk": (head(b"Transfer-Encoding: chunked") + b"nonsense\r\nx", BROKE),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", BROKE),
    "nothing": (b"", BROKE),
    "by drops": (drip, "is too slow: "),
    "a loop": (head(b"Location: /x", status="302 Found"), "leads on more than 10 times"),
    "leads on without end": (endless(head(b"Location: /x", status="302 Found")), "leads on more than 10 times"),
    "to a file": (head(b"Location: file:///etc/passwd", status="302 Found"), "leads to an address that is none of the"),
    "to FTP": (head(b"Location: ftp://127.0.0.1/x", status="301 Moved"), "leads to an address that is none of the web"),
    "to no address": (head(b"Location: http://[::1", status="302 Found"), NO_HTTP),
    "to no text": (head(b"Location: http://\xff\xfe", status="302 Found"), NO_HTTP),
    "to no port": (head(b"Location: http://127.0.0.1:99999999/", status="302 Found"), NO_HTTP),
    "refused at length": (endless(head(status="403 " + "No" * 9999)), "403 NoNo"),
}


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch):
    monkeypatch.setattr(fetch, "UNSTATED", 1_000_000)
    monkeypatch.setattr(fetch, "SLOWEST", (1_000, 0.3))


@pytest.mark.parametrize("lie", LIES)
def test_a_mirror_that_lies_costs_itself_and_the_next_one_is_asked(tmp_path, lie):
    answer, said = LIES[lie]
    found = fetched(tmp_path / "a", {"/x": answer})
    assert isinstance(found, str), "it is no file"
    assert said in found
    assert len(found) < 200
    assert fetched(tmp_path / "a", {"/x": answer, "/y": GOOD}, paths=("/x", "/y")) == CONTENT
    assert sum(file.stat().st_size for file in (tmp_path / "a").iterdir()) < 2_200_000


def test_what_is_no_file_is_not_taken_for_one_that_no_checksum_speaks_for(tmp_path):
    page = head() + b"\n <!DOCTYPE HTML><html>sign in</html>"
    assert fetched(tmp_path / "a", {"/x": page}, checksum="") == "answers with a web page"
    assert fetched(tmp_path / "a", {"/x": page, "/y": GOOD}, "", ("/x", "/y")) == CONTENT
    assert fetched(tmp_path / "b", {"/x": page}, checksum="", name="x.html").startswith(b"\n <!DOCTYPE")


HEADERS = ["Content-Length", "Content-Range", "Location", "Transfer-Encoding", "Content-Encoding", "X"]
STATUS = ["200 OK", "206 Partial", "302 Found", "416 No", "999 What"]


@settings(max_examples=30)
@given(st.sampled_from(HEADERS), st.binary(max_size=40), st.sampled_from(STATUS))
def test_no_header_makes_a_download_fail_but_by_a_reason(tmp_path_factory, name, value, status):
    folder = tmp_path_factory.mktemp("f")
    (folder / ".x.bin.part").write_bytes(CONTENT[:70_000])
    answer = head(f"{name}: ".encode() + value, status=status) + CONTENT[70_000:]
    found = fetched(folder, {"/x": answer})
    assert isinstance(found, str) or found == CONTENT
    with saying({"/x": answer}) as at:
        assert Fetcher(folder, Reporter(), True).size(Remote("x", (f"{at}/x",), "", "x")) >= 0


def test_a_mirror_that_states_too_much_does_not_keep_the_others_from_being_asked(tmp_path):
    huge = head(b"Content-Length: 900000000000000") + b"x"
    with saying({"/x": huge, "/y": GOOD}) as at:
        dataset = FakeDataset(tmp_path / "fake")
        dataset.REMOTES = (Remote("x.bin", (f"{at}/x", f"{at}/y"), SHA256, "x.bin"),)
        download(dataset, Reporter())
        assert (dataset.root / "x.bin").read_bytes() == CONTENT
        dataset.REMOTES = (Remote("z.bin", (f"{at}/x",), SHA256, "z.bin"),)
        with pytest.raises(UserError, match=r"takes 900000\.0 GB .* are free"):
            download(dataset, Reporter())


class Encrypted(requests.adapters.BaseAdapter):
    """Stands for a mirror by TLS that leads on."""

    def __init__(self, to):
        super().__init__()
        self._to = to

    def send(self, request, **_):
        answer = requests.Response()
        answer.status_code, answer.url, answer.raw = 302, request.url, io.BytesIO()
        answer.headers["Location"] = self._to
        return answer

    def close(self):
        pass


def test_nobody_is_led_from_an_encrypted_connection_to_a_plain_one(tmp_path, monkeypatch):
    with saying({"/x": GOOD}) as at:
        for made, said in ((f"{at}/x", "leads to a connection that is not encrypted"), ("data:,x", "none of the web")):
            monkeypatch.setattr(requests.Session, "get_adapter", lambda *_, made=made, **__: Encrypted(made))
            fetcher = Fetcher(tmp_path, Reporter(), quiet=True)
            with pytest.raises(Unavailable, match=re.escape("https://mirror/x: ")) as error:
                fetcher.fetch(Remote("x.bin", ("https://mirror/x",), SHA256, "x.bin"))
            assert said in str(error.value)
            assert fetcher.size(Remote("x.bin", ("https://mirror/x",), SHA256, "x.bin")) == 0
        monkeypatch.undo()
        assert fetched(tmp_path, {"/x": head(b"Location: /y", status="307 There"), "/y": GOOD}) == CONTENT
