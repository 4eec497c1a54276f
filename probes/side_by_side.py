"""Independent trainings beside one another, one processor core each.

Threads that share every small operation of one training wait for each other more than they work; a training of its own
keeps each of them busy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Piece = TypeVar("Piece")


def side_by_side(train: Callable[[Piece, threading.Event], None], pieces: Iterable[Piece], threads: int) -> None:
    """Call `train` for all `pieces`, as many at once as there are `threads`, each with one thread of PyTorch's.

    Parameters
    ----------
    train
        Takes a piece, and an event that tells it to end at once: another piece has failed, or the user has had enough.
    pieces
        What is trained.
    threads
        At least two.

    Raises
    ------
    Exception
        What a piece that failed has raised.
    """
    before = torch.get_num_threads()
    stop = threading.Event()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                pending = {pool.submit(train, piece, stop) for piece in pieces}
                while pending:
                    # A signal that comes just before a wait is only seen after it.
                    done, pending = wait(pending, timeout=1, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
            except BaseException:
                stop.set()
                raise
    finally:
        # The pool has set the number for the matrix products of all threads.
        torch.set_num_threads(before)
