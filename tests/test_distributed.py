"""Two processes against one: the same loss, the same gradients, the same weights.

PyTorch synchronises batch norm on GPUs only, so the encoder here has none: everything else of training on several
devices, the division of a batch, the gathering of negatives and the averaging of gradients, is what runs on GPUs too.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from conftest import TINY_REGISTRY, bench_json
from listening import Lookout
from plain_encoder import Plain
from safetensors.torch import load_file
from training_steps import Quiet, inputs, plain, pretrain_step

from benchmark.console import Reporter
from benchmark.errors import UserError
from benchmark.pretraining.curve_file import CURVE
from benchmark.pretraining.ntxent import ntxent, ntxent_over_processes
from benchmark.pretraining.processes import Rank, devices_allowed, together
from benchmark.pretraining.rendezvous import loopback_interface, warn_of_network
from benchmark.steps.pretrain import compute
from encoders import EncoderError

PAIRS = 6


def model_and_views():
    torch.manual_seed(0)
    return Plain().double(), torch.randn(2, PAIRS, 1, 2187, dtype=torch.float64)


def shares_of_loss(place: Rank) -> dict:
    """Loss and gradient of a process's half of a batch, averaged as data-parallel training does."""
    found = {}
    for policy, function in (("all", ntxent_over_processes), ("replica", ntxent)):
        encoder, views = model_and_views()
        own = views.view(2, place.world, -1, 1, 2187)[:, place.rank]
        loss = function(encoder(own[0]), encoder(own[1]), 0.5)
        loss.backward()
        averaged = [loss.detach(), *(parameter.grad for parameter in encoder.parameters())]
        for tensor in averaged:
            torch.distributed.all_reduce(tensor)
        found[policy] = [(tensor / place.world).tolist() for tensor in averaged]
    return found


def whole_loss():
    encoder, views = model_and_views()
    loss = ntxent(encoder(views[0]), encoder(views[1]), 0.5)
    loss.backward()
    return [loss.detach(), *(parameter.grad for parameter in encoder.parameters())]


def test_two_processes_have_the_loss_and_the_gradient_of_one(forked):
    found = together(shares_of_loss, 2, PAIRS)
    for ours, expected in zip(found["all"], whole_loss(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)
    encoder, views = model_and_views()
    halves = [ntxent(encoder(views[0, part]), encoder(views[1, part]), 0.5) for part in (slice(0, 3), slice(3, 6))]
    alone = found["replica"][0]  # negatives of the own device only are another loss
    assert alone == pytest.approx(sum(half.item() for half in halves) / 2, abs=1e-10)
    assert abs(alone - whole_loss()[0].item()) > 0.1


@pytest.mark.parametrize(
    ("encoder", "augmentation"),
    [("Plain", None), ("Parted", [{"mixup": {"probability": 0.9, "alpha": 5, "beta": 2}}])],
    ids=["waveforms", "mixed features"],
)
def test_a_training_on_two_processes_is_that_of_one(encoder, augmentation, tmp_path, capfd):
    encoder = plain(encoder)
    changes = {} if augmentation is None else {"augmentation": augmentation}
    weights, curves = [], []
    for devices, chunk in ((1, None), (2, 1)):
        work = tmp_path / f"{devices}"
        work.mkdir()
        step = pretrain_step(encoder, {"devices": devices}, chunk=chunk, **changes)
        facts = compute(step, inputs(tmp_path, encoder), work, Reporter())
        assert facts["devices"] == devices
        weights.append(load_file(work / "encoder.safetensors"))
        curves.append(np.genfromtxt(work / CURVE, delimiter=",", names=True)["loss"])
    np.testing.assert_allclose(curves[0], curves[1], atol=2e-5)
    for name, value in weights[0].items():
        np.testing.assert_allclose(weights[1][name], value, atol=1e-4)
    start = load_file(tmp_path / "start" / "encoder.safetensors")
    assert max((value - start[name]).abs().max().item() for name, value in weights[0].items()) > 0.01
    assert capfd.readouterr().err.count("steps of 4 pairs, cpu x 2") == 1


def complain(place: Rank) -> dict:
    raise EncoderError(f"this is wrong in {place.world} processes")


def test_what_a_process_complains_of_is_heard(forked):
    with pytest.raises(UserError, match="this is wrong in 2 processes"):
        together(complain, 2, 4)
    with pytest.raises(UserError, match="a batch of 5 cannot be divided among 2 devices"):
        together(complain, 2, 5)


def test_several_nodes_are_told_where_to_meet_and_that_their_network_is_trusted(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.setenv("MASTER_PORT", "29500")
    reporter = Quiet()
    warn_of_network(reporter)
    monkeypatch.setenv("NNODES", "2")
    with pytest.raises(UserError, match="NNODES=2: the nodes cannot find one another; set MASTER_ADDR too"):
        together(complain, 1, 4)
    for address in ("127.0.0.1", "::1", "localhost"):
        monkeypatch.setenv("MASTER_ADDR", address)
        warn_of_network(reporter)
    assert reporter.lines == []
    monkeypatch.setenv("MASTER_ADDR", "node1")  # may be a loopback address on the node itself, and is none elsewhere
    warn_of_network(reporter)
    monkeypatch.setenv("NODE_RANK", "1")
    warn_of_network(reporter)
    assert reporter.lines == [
        "  training over 2 nodes: what they send is neither encrypted nor authenticated; "
        "let no one else into their network"
    ]


def test_the_loopback_interface_is_found():
    addresses = psutil.net_if_addrs()[loopback_interface()]
    assert next(each.address for each in addresses if each.family == socket.AF_INET).startswith("127.")


def test_devices(monkeypatch):
    reporter = Quiet()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert (devices_allowed(None, 16, reporter), devices_allowed(3, 16, reporter)) == (1, 3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (devices_allowed(None, 16, reporter), devices_allowed(1, 16, reporter)) == (2, 1)
    with pytest.raises(UserError, match="--devices 3: there are 2"):
        devices_allowed(3, 16, reporter)
    assert reporter.lines == []


@pytest.mark.parametrize(
    ("gpus", "batch", "nodes", "expected"),
    [(3, 16, 1, 2), (5, 16, 1, 4), (7, 16, 1, 4), (8, 16, 1, 8), (5, 96, 1, 4), (4, 7, 1, 1), (6, 16, 2, 4)],
)
def test_as_many_gpus_as_divide_the_batch(monkeypatch, gpus, batch, nodes, expected):
    reporter = Quiet()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("NNODES", str(nodes))
    assert devices_allowed(None, batch, reporter) == expected
    said = f"  training on {expected} of {gpus} GPUs, the most that a batch of {batch} divides among"
    assert reporter.lines == ([said] if expected < gpus else [])


def test_a_process_may_have_one_pair(forked, tmp_path):
    """Its measures are those of the whole batch, for alone it has no different items."""
    encoder, curves = plain(), []
    for devices in (1, 2):
        work = tmp_path / f"{devices}"
        work.mkdir()
        compute(pretrain_step(encoder, {"devices": devices}, batch=2), inputs(tmp_path, encoder), work, Quiet())
        curves.append(np.genfromtxt(work / CURVE, delimiter=",", names=True)[:2])
    for name in ("loss", "positive", "negative", "alignment", "uniformity"):
        np.testing.assert_allclose(curves[1][name], curves[0][name], rtol=0.02, atol=2e-5, err_msg=name)
    assert curves[0]["negative"][0] < 1 - 1e-4
    assert abs(curves[0]["uniformity"][0]) > 1e-4
    step = pretrain_step(encoder, {"devices": 2}, batch=2, negatives="replica")
    with pytest.raises(UserError, match="pretrain plain: with negatives=replica, a batch of 2 on as many devices"):
        compute(step, inputs(tmp_path, encoder), tmp_path, Quiet())


NODE = """
import json, sys
sys.path.insert(0, {tests!r})
if __name__ == "__main__":
    from test_distributed import PAIRS, shares_of_loss, together
    print(json.dumps(together(shares_of_loss, 1, PAIRS)))
"""


@pytest.mark.slow
def test_two_nodes_are_two_processes(tmp_path):
    script = tmp_path / "node.py"
    script.write_text(NODE.format(tests=str(Path(__file__).parent)))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = str(server.getsockname()[1])
    nodes = []
    for rank in range(2):
        environment = {"NNODES": "2", "NODE_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        nodes.append(
            subprocess.Popen(
                [sys.executable, script], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
            )
        )
    for node in nodes:
        found = json.loads(node.communicate(timeout=120)[0])
        for ours, expected in zip(found["all"], whole_loss(), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_two_nodes_run_one_study_and_score_as_one(mtt, tmp_path):
    """The same command on every node, told apart by NODE_RANK: one training, one store, the same scores."""
    data, _ = mtt
    shutil.copy(Path(__file__).with_name("plain_encoder.py"), tmp_path)
    registry = 'encoders:\n  plain: {class: "plain_encoder:Plain"}\n'
    (tmp_path / "nodes.yaml").write_text(TINY_REGISTRY.replace("encoders:\n", registry, 1))
    arguments = ["run", "--encoder", "plain", "--task", "mtt", "--recipe", "short", "--data", str(data), "--json"]
    arguments += ["--registry", str(tmp_path / "nodes.yaml")]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    nodes = []
    for rank in ("0", "1"):
        environment = {**os.environ, "NNODES": "2", "NODE_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [str(Path(sys.executable).with_name("bench")), *arguments, "--store", str(tmp_path / "two")]
        with (tmp_path / f"{rank}.json").open("w") as out, (tmp_path / f"{rank}.txt").open("w") as err:
            nodes.append(subprocess.Popen(command, env=environment, stdout=out, stderr=err))
    with Lookout(lambda: [node.pid for node in nodes]) as lookout:
        assert [node.wait(timeout=200) for node in nodes] == [0, 0], (tmp_path / "0.txt").read_text()
    lookout.check(at_least=1)  # the store at MASTER_ADDR
    alone = bench_json(*arguments[:-3], *arguments[-2:], "--store", tmp_path / "one")
    for rank in ("0", "1"):
        scores = json.loads((tmp_path / f"{rank}.json").read_text())
        for ours, theirs in zip(scores, alone, strict=True):
            for name, score in theirs["metrics"].items():
                assert ours["metrics"][name]["value"] == pytest.approx(score["value"], abs=0.02)
