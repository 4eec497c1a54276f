"""Where the package registry that pip is set up with has a wheel; asked of pip, whose settings are the user's."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmark.errors import UserError

#: Seconds that pip may take to answer.
_TIMEOUT = 300


def address_of(requirement: str) -> str:
    """Address of the wheel of a requirement such as ``musicnn==0.1.0``; nothing is installed.

    Raises
    ------
    UserError
        If pip is not there, or knows no such wheel.
    """
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--report", "-", requirement]
    by_hand = f"`pip download --no-deps {requirement}` where there is a network, and pass the wheel with --from"
    try:
        # The words are ours, and the program is the Python that runs.
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{requirement}: pip gives no answer: {error}; run {by_hand}") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        reason = (errors or lines or ["no reason is given"])[-1]
        raise UserError(f"{requirement}: pip finds no wheel of it: {reason}; run {by_hand}")
    try:
        [found] = json.loads(done.stdout)["install"]
        return str(found["download_info"]["url"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{requirement}: pip's report cannot be read; update pip, or run {by_hand}") from None
