"""What a command starts listens on loopback alone, serves no pages, and imports nothing of the working directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from listening import Lookout

#: Packages that bench needs, and modules of Python that a process needs before it knows where it was started.
NAMES = ["dask", "distributed", "torch", "numpy", "yaml", "lightning", "multiprocessing", "pickle", "socket", "json"]
RUN = ["run", "--encoder", "mfcc", "--task", "mtt"]
TRAIN = ["run", "--encoder", "plain", "--task", "mtt", "--recipe", "short", "--registry", "own/registry.yaml"]


@pytest.mark.parametrize(
    ("arguments", "sockets"),
    [
        (["doctor"], 0),
        (["report", "--store", "store", "-o", "report.html"], 0),
        (RUN, 0),
        ([*RUN, "--jobs", "2"], 3),  # the scheduler and two workers
        ([*TRAIN, "--devices", "2", "--tensorboard", "board"], 1),  # where the processes that train meet
    ],
    ids=["doctor", "report", "run", "jobs", "devices"],
)
def test_what_is_started_in_a_hostile_folder(arguments, sockets, mtt, tiny_registry, tmp_path):
    here = tmp_path / "here"
    (here / "own").mkdir(parents=True)
    for name in NAMES:
        (here / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write('{name} ')\n")
    plain = 'encoders:\n  plain: {class: "plain_encoder:Plain"}\n'
    (here / "own/registry.yaml").write_text(tiny_registry.read_text().replace("encoders:\n", plain, 1))
    (here / "own/plain_encoder.py").write_text(Path(__file__).with_name("plain_encoder.py").read_text())
    if arguments[0] == "run":
        arguments = [*arguments, "--data", str(mtt[0]), "--store", "store"]
    command = [Path(sys.executable).with_name("bench"), *arguments]
    with (tmp_path / "said").open("w") as said:
        started = subprocess.Popen(command, cwd=here, stdout=said, stderr=said)
        with Lookout(lambda: [started.pid]) as lookout:
            started.wait(timeout=500)
    assert not (tmp_path / "imported").exists(), (tmp_path / "imported").read_text()
    if arguments[0] == "run":
        assert started.returncode == 0, (tmp_path / "said").read_text()
    lookout.check(at_least=sockets)
    assert (here / "board").exists() == ("--tensorboard" in arguments)
