"""Trainings beside one another end together when one fails or the user has had enough."""

import signal
import threading

import pytest
import torch

from probes.side_by_side import side_by_side


def test_each_piece_is_trained_once_with_one_thread():
    before, found, lock = torch.get_num_threads(), [], threading.Lock()

    def train(piece, stop):
        with lock:
            found.append((piece, torch.get_num_threads(), stop.is_set()))

    side_by_side(train, range(7), 3)
    assert sorted(found) == [(piece, 1, False) for piece in range(7)]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("end", ["failure", "Ctrl-C"])
def test_one_that_ends_early_ends_all(end):
    before, waited, begun = torch.get_num_threads(), [], threading.Event()

    def train(piece, stop):
        if piece == 1:
            begun.wait(60)
            if end == "failure":
                raise ValueError("piece 1")
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        begun.set()
        waited.append(stop.wait(60))

    # Importing dask_jobqueue, as other tests may have, takes Ctrl-C for something else.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(ValueError if end == "failure" else KeyboardInterrupt):
            side_by_side(train, range(2), 2)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert waited
    assert all(waited)
    assert torch.get_num_threads() == before
