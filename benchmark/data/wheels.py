"""Where a wheel lies on the package index that pip is set up with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

from benchmark.data.fetch import TIMEOUT
from benchmark.errors import UserError

#: How pip's help states the index, whatever file or variable of the user's it comes from.
_INDEX = re.compile(r"Base URL of the Python Package Index \(default (\S+)\)")
_JSON = "application/vnd.pypi.simple.v1+json"
#: Largest page of an index that is read [bytes].
_LARGEST = 2**24


def address_of(requirement: str, file: str) -> str:
    """Address of a wheel, as the index lists it (Python packaging's "Simple repository API").

    Parameters
    ----------
    requirement
        Name and version as pip takes them, as in ``musicnn==0.1.0``.
    file
        Name of the wheel.

    Raises
    ------
    UserError
        If pip is not there, or its index does not answer or does not list the wheel.
    """
    by_hand = f"run `pip download --no-deps {requirement}` where that works, and pass the wheel with --from"
    index = _index()
    if index is None:
        raise UserError(f"{requirement}: pip does not say what index it is set up with; {by_hand}")
    page = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', requirement.partition('==')[0]).lower()}/"
    try:
        with requests.get(
            page, headers={"Accept": f"{_JSON}, text/html;q=0.1"}, timeout=TIMEOUT, stream=True
        ) as answer:
            answer.raise_for_status()
            content = answer.raw.read(_LARGEST, decode_content=True)
            links = _links(content, answer.headers.get("Content-Type", ""))
            page = answer.url
    except (requests.RequestException, OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{requirement}: pip's index gives no answer: {reason}; {by_hand}") from None
    for link in links:
        address = urljoin(page, link).partition("#")[0]
        if urlsplit(address).path.rpartition("/")[2] == file:
            return address
    raise UserError(f"{requirement}: pip's index does not list {file}; {by_hand}")


def _index() -> str | None:
    """Address of the index that pip is set up with."""
    command = [sys.executable, "-m", "pip", "download", "--help"]
    try:
        # The words are ours, and the program is the Python that runs.
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT[1],
            env={**os.environ, "COLUMNS": "999"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _INDEX.search(" ".join(done.stdout.split()))
    return found[1] if found else None


def _links(content: bytes, kind: str) -> list[str]:
    if kind.startswith(_JSON):
        return [str(file["url"]) for file in json.loads(content)["files"]]
    page = _Links()
    page.feed(content.decode())
    return page.found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]
