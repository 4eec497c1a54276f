"""A few trials of `soak.py`, whose hundreds are run by hand; see docs/reliability.md."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_commands_without_locks_and_killed_ones_leave_the_scores_of_one_alone():
    script = Path(__file__).with_name("soak.py")
    done = subprocess.run(
        [sys.executable, script, "--pairs", "4", "--kills", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done in" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(": 0 faults")
