"""Libraries that are broken on purpose: a folder to be put before the installed ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

#: What stands in the broken library's file, by how it is broken, and what is said of each.
KINDS = {
    "missing": ("raise ModuleNotFoundError(f'No module named {__name__!r}', name=__name__)", "is not installed"),
    "import": ("raise ImportError('its wheel is for another Python')", "ImportError: its wheel is for another Python"),
    "system": ("raise OSError('libit.so: undefined symbol: f\\nand more')", "OSError: libit.so: undefined symbol: f"),
    "other": ("raise RuntimeError('built for another NumPy')", "RuntimeError: built for another NumPy"),
    "syntax": ("def (:", "SyntaxError: invalid syntax"),
    "zeros": ("\0\0\0", "source code"),
}


def break_library(folder: Path, module: str, kind: str) -> None:
    """Put a package of a name into a folder, broken in one of the ways of `KINDS`."""
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text(KINDS[kind][0])


def bench_with(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `bench` in a new process, with the libraries in `folder` before the installed ones."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BENCH_")}
    return subprocess.run(
        [str(Path(sys.executable).with_name("bench")), *map(str, arguments)],
        env={**environment, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
