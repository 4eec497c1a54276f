"""What a result was computed with: versions, device, time and memory."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_PACKAGES = ("bench-music", "torch", "torchaudio", "lightning", "numpy", "scikit-learn", "soundfile", "soxr")

#: What other processes have reported to each of the blocks that are being measured.
_measuring: ContextVar[tuple[list[Mapping[str, Any]], ...]] = ContextVar("measuring", default=())


def versions() -> dict[str, str]:
    """Version of Python and of every package that a score depends on; imports none of them."""
    import importlib.metadata

    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def node_rank() -> int:
    """Number of this node among those that train one encoder together, from 0."""
    return int(os.environ.get("NODE_RANK", "0"))


def node_count() -> int:
    """Number of nodes that train one encoder together."""
    return int(os.environ.get("NNODES", "1"))


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """Measure the time and memory of a block; the yielded dict is filled when it has ended.

    Memory is that of the process that took most, of this one and of those that `report`; the device is a GPU where one
    of them has taken memory of it.
    """
    found: dict[str, Any] = {}
    reported: list[Mapping[str, Any]] = []
    began = time.monotonic()
    own_peak = _reset_peak_memory()
    held = _reset_peak_gpu_memory()
    outer = _measuring.set((*_measuring.get(), reported))
    try:
        yield found
    finally:
        _measuring.reset(outer)
    found["seconds"] = round(time.monotonic() - began, 3)
    found["peak_memory_bytes"] = max([_peak_memory(own_peak), *(other["peak_memory_bytes"] for other in reported)])
    found["device"] = platform.processor() or platform.machine()
    cuda = _cuda()
    # Tables that an earlier block has left on the GPU are no sign that this one used it.
    if cuda and cuda.max_memory_allocated() > held:
        found["peak_gpu_memory_bytes"] = cuda.max_memory_allocated()
        found["device"] = cuda.get_device_name()
    for other in reported:
        if other.get("peak_gpu_memory_bytes", 0) > found.get("peak_gpu_memory_bytes", 0):
            found["peak_gpu_memory_bytes"] = other["peak_gpu_memory_bytes"]
            found["device"] = other["device"]


def report(resources: Mapping[str, Any]) -> None:
    """Enter what another process has `measured` of its part into the blocks that are being measured here."""
    for reported in _measuring.get():
        reported.append(resources)


def _cuda() -> Any:
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _reset_peak_gpu_memory() -> int:
    """Make PyTorch forget the peak so far; the GPU memory that is taken now [bytes]."""
    cuda = _cuda()
    if not cuda:
        return 0
    cuda.reset_peak_memory_stats()
    return int(cuda.max_memory_allocated())


def _reset_peak_memory() -> bool:
    """Make the kernel forget the peak so far; false where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_memory(own_peak: bool) -> int:
    if own_peak:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def workers() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))
