"""Slurm's `sbatch` and `scancel` as far as `--cluster slurm` uses them, on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SBATCH = """#!/bin/sh
# Runs the script, the last argument, as a session of its own whose number is the job's.
for script in "$@"; do :; done
cp "$script" "{folder}/$$.sh"
setsid sh "{folder}/$$.sh" > "{folder}/$$.log" 2>&1 &
echo $! >> "{folder}/jobs"
echo "Submitted batch job $!"
"""
SCANCEL = '#!/bin/sh\nfor job in "$@"; do kill -- "-$job"; done\n'


class Queue:
    """The two programs, first on the PATH of what is started from now on."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self._folder = folder
        for name, text in (("sbatch", SBATCH.format(folder=folder)), ("scancel", SCANCEL)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def jobs(self) -> list[int]:
        """Numbers of all jobs that were asked for; each is the number of its first process."""
        file = self._folder / "jobs"
        return [int(job) for job in file.read_text().split()] if file.exists() else []

    def scripts(self) -> list[str]:
        """What was submitted."""
        return [file.read_text() for file in self._folder.glob("*.sh")]
