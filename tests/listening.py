"""Every socket on which processes listen while something runs, looked for from outside."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from loopback_only import is_loopback


class Listening(NamedTuple):
    """A socket that takes what comes, whoever sends it."""

    kind: str
    ip: str
    port: int


class Lookout:
    """Looks at the processes of some trees, again and again, until the block ends.

    Parameters
    ----------
    roots
        Numbers of the processes at the roots, asked at every look.
    """

    def __init__(self, roots: Callable[[], Iterable[int]]) -> None:
        self.found: set[Listening] = set()
        self.web_servers: set[Listening] = set()
        self.looks = 0
        self._roots = roots
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_again)

    def __enter__(self) -> Lookout:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def check(self, at_least: int) -> None:
        """Assert that sockets were seen, that all of them are on loopback, and that none speaks HTTP."""
        assert self.looks > 3
        assert len(self.found) >= at_least, self.found
        assert [each for each in self.found if not is_loopback(each.ip)] == []
        assert self.web_servers == set()

    def _look_again(self) -> None:
        before: object = None
        same = 0
        while not self._ended.wait(0.03):
            self.looks += 1
            now = open_on_this_machine()
            same = same + 1 if now == before and now is not None else 0
            before = now
            # Three looks: what begins or ends during one may hide from it what else there is.
            if same > 2:
                continue
            fresh = {each for root in self._roots() for each in listening_below(root)} - self.found
            self.found |= fresh
            self.web_servers |= {each for each in fresh if each.kind == "tcp" and speaks_http(each)}


def open_on_this_machine() -> set[str] | None:
    """Sockets that take what comes, of whatever process, as Linux lists them; quick, where processes take long.

    ``None`` elsewhere.
    """
    found: set[str] = set()
    for kind, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        try:
            lines = Path(f"/proc/net/{kind}").read_text().splitlines()[1:]
        except OSError:
            return None
        # Address, state and number of the file.
        found |= {f"{kind} {words[1]} {words[9]}" for words in map(str.split, lines) if words[3] == state}
    return found


def listening_below(root: int) -> set[Listening]:
    """Sockets of a process and of all that it has started."""
    found: set[Listening] = set()
    with suppress(psutil.Error):
        top = psutil.Process(root)
        for process in (top, *top.children(recursive=True)):
            with suppress(psutil.Error):
                found |= {
                    Listening("tcp" if each.type == socket.SOCK_STREAM else "udp", each.laddr.ip, each.laddr.port)
                    for each in process.net_connections("inet")
                    if each.laddr and not each.raddr and each.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
                }
    return found


def speaks_http(where: Listening) -> bool:
    """Whether a request for a page is answered as a web server does."""
    with suppress(OSError), socket.create_connection((where.ip, where.port), timeout=1) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(5) == b"HTTP/"
    return False


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
