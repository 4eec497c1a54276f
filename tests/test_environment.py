"""What a record says a step was computed on, and with how much memory."""

import platform

import numpy as np
import pytest

from benchmark import environment
from benchmark.environment import measured, report
from benchmark.pretraining.processes import Rank, together


class Gpu:
    """What `torch.cuda` says of its memory."""

    def __init__(self, rank=0):
        self.name = f"GPU {rank}"
        self.allocated = self.peak = 0

    def allocate(self, size):
        self.allocated += size
        self.peak = max(self.peak, self.allocated)

    def reset_peak_memory_stats(self):
        self.peak = self.allocated

    def max_memory_allocated(self):
        return self.peak

    def get_device_name(self):
        return self.name


def test_tables_left_on_a_gpu_are_no_work_of_a_later_step(monkeypatch):
    gpu = Gpu()
    monkeypatch.setattr(environment, "_cuda", lambda: gpu)
    with measured() as trained:
        gpu.allocate(1000)
        gpu.allocate(-600)
    with measured() as probed:
        pass
    with measured() as encoded:
        gpu.allocate(50)
    assert (trained["device"], trained["peak_gpu_memory_bytes"]) == ("GPU 0", 1000)
    assert probed["device"] == (platform.processor() or platform.machine())
    assert "peak_gpu_memory_bytes" not in probed
    assert (encoded["device"], encoded["peak_gpu_memory_bytes"]) == ("GPU 0", 450)


def train_on_a_gpu(place: Rank) -> dict:
    """Takes memory of this process, and as if of a GPU of its own."""
    gpu = Gpu(place.rank)
    gpu.allocate(10**9 + place.rank)
    environment._cuda = lambda: gpu
    return {"sum": int(np.ones(40_000_000 if place.rank == 0 else 1).sum())}


def test_processes_that_train_report_what_they_trained_on(forked):
    with measured() as outer, measured() as found:
        facts = together(train_on_a_gpu, 2, 4)
    assert facts == {"sum": 40_000_000}
    for resources in (found, outer):
        assert resources["device"] == "GPU 0"
        assert resources["peak_gpu_memory_bytes"] == 10**9
        assert resources["peak_memory_bytes"] >= 320_000_000
    with measured() as later:
        pass
    assert "peak_gpu_memory_bytes" not in later


def test_the_process_that_took_most_memory_counts():
    with measured() as found:
        report({"peak_memory_bytes": 10**15, "device": "a CPU"})
        report({"peak_memory_bytes": 1, "device": "a CPU"})
    assert found["peak_memory_bytes"] == 10**15
    assert found["device"] == (platform.processor() or platform.machine())
    with pytest.raises(ValueError, match="inside"), measured():
        raise ValueError("inside")
    report({"peak_memory_bytes": 1, "device": "a CPU"})  # nobody measures: nobody is told
