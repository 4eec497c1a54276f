"""Fetching one file from its mirrors: resumed where it broke off, believed only with the published checksum.

A mirror may be anybody's by now. What it says of a file's length is compared with the room there is, what it sends has
an end, at no less than a least speed, and where it leads on to is an address of the web that is no less private.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pooch
import requests
import urllib3

from benchmark.console import Advance, Reporter, Silent
from benchmark.plain_files import append_to, check_file, write_anew
from tasks.base import Remote

#: Bytes read at a time; a connection that breaks off before it has brought as many is not tried again.
CHUNK = 2**16
MEGABYTE = 10**6
#: Seconds to wait for a connection, and for the next bytes.
TIMEOUT = (15, 60)
#: Bytes that must arrive in so many seconds.
SLOWEST = (60_000, 60.0)
#: Largest body whose length is not stated [bytes]; nor may it take more than half of the room.
UNSTATED = 2**36
#: Times that a mirror may lead on.
REDIRECTS = 10
#: Digits of a length that is believed to be one.
_DIGITS = 15


class Unavailable(Exception):  # noqa: N818 (it is no programming error)
    """No mirror yields the file; the message has a reason for each."""


class _Refused(requests.RequestException):
    """A mirror answers with what is not taken from it; the message says what."""


@contextmanager
def counted_in_megabytes(reporter: Reporter, title: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Progress in MB; `total`, `done` and what is passed to the yielded function are bytes."""
    count = done
    with reporter.progress(title, -(-total // MEGABYTE), "MB", done // MEGABYTE) as advance:

        def in_bytes(size: int) -> None:
            nonlocal count
            before = count // MEGABYTE
            count += size
            advance(count // MEGABYTE - before + (1 if count == total and total % MEGABYTE else 0))

        yield in_bytes


class _Session(requests.Session):
    """Follows nobody by itself: before it does, it reads all that a mirror sends that leads on, without an end."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere."""
        del resp


class Fetcher:
    """Fetches files into a folder.

    Parameters
    ----------
    folder
        Where they are put once they are whole, and where half of one is kept until then.
    reporter
        Shows progress.
    quiet
        Show none: the files are many and small.
    """

    def __init__(self, folder: Path, reporter: Reporter, quiet: bool) -> None:
        self._folder = folder
        self._reporter = reporter
        self._quiet = quiet
        self._session = _Session()
        self._session.headers.update({"User-Agent": "bench-music", "Accept-Encoding": "identity"})
        pooch.get_logger().setLevel(logging.ERROR)

    def size(self, remote: Remote) -> int:
        """Bytes of a file, the least that a mirror states; 0 if none does."""
        stated = []
        for url in remote.urls:
            try:
                answer = _answer(self._session, "HEAD", url, {})
            except requests.RequestException:
                continue
            with answer:
                if answer.ok and (length := _number(answer.headers.get("Content-Length", ""))):
                    stated.append(length)
        return min(stated, default=0)

    def fetch(self, remote: Remote) -> Path:
        """Fetch a file, or find it whole where an earlier attempt left it.

        Raises
        ------
        Unavailable
            If no mirror yields it with the published checksum.
        """
        failures = []
        for url in remote.urls:
            failure = self._try(remote, url)
            if not failure:
                return self._folder / remote.name
            failures.append(f"{url}: {failure}")
        raise Unavailable("; ".join(failures) or "no address is published")

    def _try(self, remote: Remote, url: str) -> str:
        """Fetch from one mirror; why that failed, or nothing."""
        partial = self._folder / f".{remote.name}.part"
        check_file(self._folder / remote.name)
        # Without a checksum nothing would tell that two halves belong together.
        if not remote.checksum:
            partial.unlink(missing_ok=True)
        for _ in range(2):
            download = _Resumed(self._session, partial, self._progress(remote))
            try:
                pooch.retrieve(url, remote.checksum or None, fname=remote.name, path=self._folder, downloader=download)
            except requests.RequestException as error:
                return _reason(error)
            except ValueError:  # of pooch, about the checksum
                if download.resumed:
                    continue  # the first half may be of another version
                return "is not the file whose checksum is published"
            if not remote.checksum and _is_web_page(self._folder / remote.name):
                (self._folder / remote.name).unlink()
                return _WEB_PAGE
            return ""
        return "is not the file whose checksum is published"

    def _progress(self, remote: Remote) -> Callable[[int, int], Any]:
        reporter = Silent() if self._quiet else self._reporter
        return lambda total, done: counted_in_megabytes(reporter, f"fetch {remote.name}", total, done)


_WEB_PAGE = "answers with a web page"


class _Resumed:
    """Downloads for pooch, going on from what `partial` holds, again and again as long as there is progress."""

    def __init__(self, session: requests.Session, partial: Path, progress: Callable[[int, int], Any]) -> None:
        self._session = session
        self._partial = partial
        self._progress = progress
        self.resumed = False

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        while True:
            before = self._length()
            try:
                self._read(url, before)
                break
            except (requests.HTTPError, _Refused):
                raise
            except requests.RequestException:
                if self._length() < before + CHUNK:
                    raise
        self._partial.replace(output_file)

    def _length(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _read(self, url: str, have: int) -> None:
        headers = {"Range": f"bytes={have}-"} if have else {}
        with _answer(self._session, "GET", url, headers) as answer:
            start, total = _content_range(answer)
            if answer.status_code == requests.codes.requested_range_not_satisfiable and have:
                self.resumed = True
                if total != have:
                    self._partial.unlink()
                    raise requests.ConnectionError("cannot go on from what is there")
                return
            answer.raise_for_status()
            _check_kind(answer)
            go_on = answer.status_code == requests.codes.partial_content and start == have
            self.resumed = self.resumed or (go_on and have > 0)
            if not go_on:
                have, total = 0, _number(answer.headers.get("Content-Length", ""))
            most = self._most(total, have)
            with (append_to if go_on else write_anew)(self._partial) as file, self._progress(total, have) as advance:
                for chunk in _chunks(answer):
                    have += len(chunk)
                    if have > most:
                        raise _Refused(f"sends more than {most:,} bytes")
                    file.write(chunk)
                    advance(len(chunk))
            if total and self._length() != total:
                raise requests.ConnectionError(f"{self._length()} of {total} bytes arrived")

    def _most(self, total: int, have: int) -> int:
        """Bytes of a file that are taken; raises `_Refused` if there is no room for what a mirror states."""
        free = shutil.disk_usage(self._partial.parent).free
        if total > have + free:
            raise _Refused(f"states {total / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free")
        return total or min(UNSTATED, free // 2)


def _answer(session: requests.Session, method: str, url: str, headers: dict[str, str]) -> requests.Response:
    """What a mirror, or whom it leads on to, answers, of which no more than the head is read.

    Raises
    ------
    requests.RequestException
        If nobody does, or one leads to what is no address of the web, or from an encrypted connection to a plain one.
    """
    for _ in range(REDIRECTS + 1):
        if not url.lower().startswith(("http://", "https://")):
            raise _Refused("is no address of the web")
        try:
            answer = session.request(method, url, headers=headers, stream=True, timeout=TIMEOUT, allow_redirects=False)
            leads_to = answer.headers["Location"].encode("latin-1").decode() if answer.is_redirect else None
            after = "" if leads_to is None else urljoin(url, leads_to)
            schemes = urlsplit(url).scheme.lower(), urlsplit(after).scheme.lower()
        except requests.RequestException:
            raise
        except (ValueError, urllib3.exceptions.HTTPError):  # an address, or a header, that is none
            raise _Refused("answers with what is no HTTP") from None
        if leads_to is None:
            return answer
        answer.close()
        if schemes[1] not in ("http", "https"):
            raise _Refused(f"leads to an address that is none of the web ({after[:60]})")
        if schemes == ("https", "http"):
            raise _Refused(f"leads to a connection that is not encrypted ({after[:60]})")
        url = after
    raise _Refused(f"leads on more than {REDIRECTS} times")


def _check_kind(answer: requests.Response) -> None:
    """Raise `_Refused` if what comes is a page for people, or encoded although nobody asked for that."""
    if "text/html" in answer.headers.get("Content-Type", ""):
        raise _Refused(_WEB_PAGE)
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise _Refused(f"sends it encoded ({encoding[:20]}), which was not asked for")


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    """The body as it arrives, `CHUNK` bytes at most at a time.

    Raises
    ------
    requests.RequestException
        If the connection breaks off, or what arrives is less than `SLOWEST`.
    """
    least, seconds = SLOWEST
    began, arrived = time.monotonic(), 0
    while True:
        try:
            chunk: bytes = answer.raw.read1(CHUNK, decode_content=False)
        except urllib3.exceptions.ReadTimeoutError:
            raise requests.Timeout from None
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ChunkedEncodingError(str(error)) from None
        if not chunk:
            return
        arrived += len(chunk)
        yield chunk
        if (now := time.monotonic()) - began > seconds:
            if arrived < least:
                raise _Refused(f"is too slow: {arrived:,} bytes in {now - began:.0f} s")
            began, arrived = now, 0


def _is_web_page(file: Path) -> bool:
    """Whether a file that no checksum speaks for is a page for people instead."""
    with file.open("rb") as content:
        beginning = content.read(512).lstrip().lower()
    return file.suffix not in (".html", ".htm") and beginning.startswith((b"<!doctype html", b"<html"))


def _number(text: str) -> int:
    """A length in a header; 0 where it is none."""
    return int(text) if re.fullmatch(rf"[0-9]{{1,{_DIGITS}}}", text.strip()) else 0


def _content_range(answer: requests.Response) -> tuple[int, int]:
    """First byte and size of the whole, as a partial answer states them; -1 and 0 where it does not."""
    match = re.fullmatch(r"bytes (?:([0-9]+)-[0-9]+|\*)/([0-9]+)", answer.headers.get("Content-Range", ""))
    return (_number(match[1]) if match[1] else -1, _number(match[2])) if match else (-1, 0)


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, _Refused):
        return str(error)
    if error.response is not None:
        status = f"{error.response.status_code} {error.response.reason}"[:80]
        return status if not error.response.ok else str(error)
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "no connection" if "Max retries" in str(error) else "the connection broke off"
    if isinstance(error, ValueError):
        return "answers with what is no HTTP"
    return type(error).__name__
