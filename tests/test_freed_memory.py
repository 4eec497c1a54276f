"""Memory freed inside a training is used again, and returned at its end."""

import platform
import subprocess
import sys

import pytest

FREEING = """
import resource
from contextlib import nullcontext
from pathlib import Path
from benchmark.freed_memory import freed_memory_kept

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

before = resident()
with {context}():
    for _ in range(20):
        bytearray(b"x") * (64 << 20)  # freed at once
    inside = resident() - before
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt, inside, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_memory_that_is_freed_is_used_again_and_returned_in_the_end():
    def after(context: str) -> list[int]:
        command = [sys.executable, "-c", FREEING.format(context=context)]
        return [
            int(word) for word in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        ]

    faults, kept, left = after("freed_memory_kept")
    faults_without, kept_without, _ = after("nullcontext")
    assert faults < faults_without / 3
    assert kept > 60 << 20 > 10 << 20 > kept_without
    assert left < 10 << 20
