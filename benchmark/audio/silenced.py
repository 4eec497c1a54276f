"""Decoders that are kept from the user's terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def silence_decoders() -> None:
    """Send this process's standard error to nowhere: libmpg123 fills it with remarks on healthy files.

    For good only in worker processes, which report through their results.
    """
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


@contextmanager
def decoders_silenced() -> Iterator[None]:
    """As `silence_decoders`, for the length of the block."""
    sys.stderr.flush()
    kept = os.dup(2)
    silence_decoders()
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
