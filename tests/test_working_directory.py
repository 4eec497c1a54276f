"""Files of the working directory that are called like a package are not imported, whatever is started there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fake_slurm import Queue

#: Packages that bench needs, and modules of Python that a process needs before it knows where it was started.
NAMES = ["dask", "distributed", "torch", "numpy", "yaml", "lightning", "multiprocessing", "pickle", "socket", "json"]
RUN = ["run", "--encoder", "mfcc", "--task", "mtt"]
SLURM = "jobs: 1\ncores: 1\nmemory: 1GB\ninterface: lo\nlog_directory: logs\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor"],
        ["report", "--store", "store", "-o", "report.html"],
        RUN,
        [*RUN, "--jobs", "2"],
        [*RUN, "--cluster", "slurm", "--config", "slurm.yaml"],
        [
            "run",
            "--encoder",
            "plain",
            "--task",
            "mtt",
            "--recipe",
            "short",
            "--registry",
            "own/registry.yaml",
            "--devices",
            "2",
        ],
    ],
    ids=["doctor", "report", "run", "jobs", "slurm", "devices"],
)
def test_a_hostile_working_directory_is_not_imported_from(arguments, mtt, tiny_registry, tmp_path, monkeypatch):
    here = tmp_path / "here"
    (here / "own").mkdir(parents=True)
    for name in NAMES:
        (here / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write('{name} ')\n")
    plain = 'encoders:\n  plain: {class: "plain_encoder:Plain"}\n'
    (here / "own/registry.yaml").write_text(tiny_registry.read_text().replace("encoders:\n", plain, 1))
    (here / "own/plain_encoder.py").write_text(Path(__file__).with_name("plain_encoder.py").read_text())
    (here / "slurm.yaml").write_text(SLURM)
    Queue(tmp_path / "queue", monkeypatch)
    if arguments[0] == "run":
        arguments = [*arguments, "--data", str(mtt[0]), "--store", "store"]
    done = subprocess.run(
        [Path(sys.executable).with_name("bench"), *arguments], cwd=here, capture_output=True, text=True, check=False
    )
    assert not (tmp_path / "imported").exists(), (tmp_path / "imported").read_text()
    if arguments[0] != "report":  # of a store that holds nothing yet
        assert done.returncode == 0, done.stderr
