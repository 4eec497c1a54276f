"""An HTTP server on this machine that serves files well or badly, and a dataset that offers them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tasks import DatasetError
from tasks.base import Clip, Count, Dataset


@dataclass
class Served:
    """A file of the server: its bytes, and how it is served.

    `manner` is ``"well"``, ``"cut"`` (the connection breaks off halfway, but for answers that go on from there),
    ``"always cut"``, ``"no ranges"`` (cut once, and never goes on from anywhere) or ``"web page"``.
    """

    content: bytes
    manner: str = "well"
    ranges: list[str] = field(default_factory=list)


class Server:
    def __init__(self, port: int, files: dict[str, Served]) -> None:
        self.port, self.files = port, files

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


@contextmanager
def serve(files: dict[str, Served]) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body: bool):
            served = files.get(self.path[1:])
            if served is None:
                self.send_error(404)
                return
            asked = self.headers.get("Range", "")
            if body:
                served.ranges.append(asked)
            content, start = served.content, 0
            if asked and served.manner != "no ranges":
                start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            kind = "text/html" if served.manner == "web page" else "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.end_headers()
            if not body:
                return
            first = len(served.ranges) == 1
            cut = served.manner == "always cut" or (served.manner in ("cut", "no ranges") and first)
            self.wfile.write(content[start : start + (len(content) - start) // 2] if cut else content[start:])
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Server(server.server_address[1], files)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class FakeDataset(Dataset):
    """Two recordings of which `table.txt` names the files; a test sets REMOTES."""

    NAME = "fake"
    LICENCE = "CC0 of the tests"
    BIBTEX = ""
    HOW_TO_GET = "ask the tests"

    def check(self):
        if not (self.root / "table.txt").is_file():
            raise DatasetError(f"{self.root / 'table.txt'}: no such table; {self.HOW_TO_GET}")

    def tables(self):
        return (self.root / "table.txt",)

    def audio_files(self):
        return sorted(path for path in (self.root / "audio").rglob("*") if path.is_file())

    def clips(self):
        return [Clip(str(n), path, "train") for n, path in enumerate((self.root / "table.txt").read_text().split())]

    def task(self, **options):
        raise DatasetError("no task")

    def counts(self):
        return [Count("clips", 2, len(self.clips()), "tests")]
