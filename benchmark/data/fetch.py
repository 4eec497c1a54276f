"""Fetching one file from its mirrors: resumed where it broke off, believed only with the published checksum."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pooch
import requests

from benchmark.console import Advance, Reporter, Silent
from benchmark.plain_files import append_to, check_file, write_anew
from tasks.base import Remote

#: Bytes that are lost at most when a connection breaks off.
CHUNK = 2**16
MEGABYTE = 10**6
#: Seconds to wait for a connection, and for the next bytes.
TIMEOUT = (15, 60)


class Unavailable(Exception):  # noqa: N818 (it is no programming error)
    """No mirror yields the file; the message has a reason for each."""


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
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": "bench-music", "Accept-Encoding": "identity"})
        pooch.get_logger().setLevel(logging.ERROR)

    def size(self, remote: Remote) -> int:
        """Bytes of a file as the first mirror that answers states them; 0 if none does."""
        for url in remote.urls:
            try:
                answer = self._session.head(url, timeout=TIMEOUT, allow_redirects=True)
            except requests.RequestException:
                continue
            if answer.ok:
                return int(answer.headers.get("Content-Length", 0))
        return 0

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
        if not url.startswith(("http://", "https://")):
            return "is no address of the web"
        partial = self._folder / f".{remote.name}.part"
        check_file(self._folder / remote.name)
        # Without a checksum nothing would tell that two halves belong together.
        if not remote.checksum:
            partial.unlink(missing_ok=True)
        for _ in range(2):
            download = _Resumed(self._session, partial, self._progress(remote))
            try:
                pooch.retrieve(url, remote.checksum or None, fname=remote.name, path=self._folder, downloader=download)
            except ValueError:
                if download.resumed:
                    continue  # the first half may be of another version
                return "is not the file whose checksum is published"
            except requests.RequestException as error:
                return _reason(error)
            return ""
        return "is not the file whose checksum is published"

    def _progress(self, remote: Remote) -> Callable[[int, int], Any]:
        reporter = Silent() if self._quiet else self._reporter
        return lambda total, done: counted_in_megabytes(reporter, f"fetch {remote.name}", total, done)


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
            except requests.HTTPError:
                raise
            except requests.RequestException:
                if self._length() <= before:
                    raise
        self._partial.replace(output_file)

    def _length(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _read(self, url: str, have: int) -> None:
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self._session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            start, total = _content_range(answer)
            if answer.status_code == requests.codes.requested_range_not_satisfiable and have:
                self.resumed = True
                if total != have:
                    self._partial.unlink()
                    raise requests.ConnectionError("cannot go on from what is there")
                return
            answer.raise_for_status()
            if "text/html" in answer.headers.get("Content-Type", ""):
                raise requests.HTTPError("answers with a web page", response=answer)
            go_on = answer.status_code == requests.codes.partial_content and start == have
            self.resumed = self.resumed or (go_on and have > 0)
            if not go_on:
                have, total = 0, int(answer.headers.get("Content-Length", 0))
            with (append_to if go_on else write_anew)(self._partial) as file, self._progress(total, have) as advance:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    advance(len(chunk))
            if total and self._length() != total:
                raise requests.ConnectionError(f"{self._length()} of {total} bytes arrived")


def _content_range(answer: requests.Response) -> tuple[int, int]:
    """First byte and size of the whole, as a partial answer states them; -1 and 0 where it does not."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", answer.headers.get("Content-Range", ""))
    return (int(match[1] or -1), int(match[2])) if match else (-1, 0)


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        status = f"{error.response.status_code} {error.response.reason}"
        return status if not error.response.ok else str(error)
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "no connection" if "Max retries" in str(error) else "the connection broke off"
    return type(error).__name__
