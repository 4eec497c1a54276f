"""What a process finds and sets up around itself."""

import platform
import subprocess
import sys

import pytest

TOUCH = """
import resource
{first}
for _ in range(20):
    bytearray(b"x") * (64 << 20)  # freed at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""
KEEP = "from benchmark.environment import keep_freed_memory; keep_freed_memory()"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_memory_that_is_freed_is_used_again():
    def faults(first: str) -> int:
        code = TOUCH.format(first=first)
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    assert faults(KEEP) < faults("") / 3


def test_what_the_user_has_set_stands(monkeypatch):
    from benchmark import environment

    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    environment.keep_freed_memory()
    assert {environment.os.environ[name] for name in environment._KEEPING} == {"131072"}
