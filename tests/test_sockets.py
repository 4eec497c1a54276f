"""Who can reach the processes of a study: nobody from another machine, and nobody without the key of the run."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import dask
import psutil
import pytest
from conftest import bench
from listening import Listening, Lookout, listening_below, wait_for
from loopback_only import is_loopback

from benchmark.engine import tls
from benchmark.engine.clusters import local_cluster
from benchmark.engine.tls import check_address
from benchmark.errors import UserError

TLS = "DASK_DISTRIBUTED__COMM__TLS__"


def test_what_listens_is_seen(tmp_path):
    server = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    shell = subprocess.Popen(["sh", "-c", f"{' '.join(server)} & wait"], stderr=subprocess.DEVNULL)
    try:
        with Lookout(lambda: [shell.pid]) as lookout, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taking:
            wait_for(lambda: lookout.web_servers)
            taking.bind(("127.0.0.1", 0))
            assert Listening("udp", *taking.getsockname()) in listening_below(os.getpid())
        assert {(each.kind, each.ip) for each in lookout.found} == {("tcp", "127.0.0.1")}
        with pytest.raises(AssertionError):
            lookout.check(at_least=1)
    finally:
        for process in (*psutil.Process(shell.pid).children(), shell):
            process.kill()
        shell.wait()


def test_addresses_of_this_machine():
    for ours in ("127.0.0.1", "127.0.1.1", "::1", "::ffff:127.0.0.1"):
        assert is_loopback(ours)
    for others in ("0.0.0.0", "::", "192.0.2.1", "::ffff:0.0.0.0", "fe80::1%lo"):
        assert not is_loopback(others)
    with socket.socket() as one, pytest.raises(PermissionError, match="every address: name 127.0.0.1"):
        one.bind(("", 0))


STRANGER = """
import asyncio, sys
from pathlib import Path
from distributed import Client, Security
from distributed.core import rpc
from distributed.protocol.pickle import dumps

scheduler, told, *ports = sys.argv[1:]

def payload(where=None):
    Path(told).touch()

async def ask(address, security):
    async with rpc(address, connection_args=security.get_connection_args("client")) as node:
        return await asyncio.wait_for(node.run(function=dumps(payload)), 4)

nobody, another = Security(require_encryption=False), Security.temporary()
for port in ports:
    for scheme, security in (("tcp", nobody), ("tls", another)):
        try:
            asyncio.run(ask(f"{scheme}://127.0.0.1:{port}", security))
        except Exception as error:
            print(port, scheme, type(error).__name__, error)
for address, security in ((scheduler.replace("tls", "tcp"), nobody), (scheduler, another)):
    try:
        with Client(address, security=security, timeout=4) as client:
            client.run_on_scheduler(payload)
            client.submit(payload, None).result(timeout=4)
    except Exception as error:
        print(address, type(error).__name__, error)
# The same with the keys, if there are any.
try:
    with Client(scheduler, timeout=4) as client:
        client.submit(payload, None).result(timeout=10)
except Exception as error:
    print("as it is set:", type(error).__name__, error)
"""


def test_a_stranger_gets_nothing_run(tmp_path):
    """By the scheduler, the worker or what watches over it, with another key or none; with the right one it does."""
    with local_cluster(1, tmp_path / "logs", []) as client:
        scheduler = client.scheduler.address
        assert scheduler.startswith("tls://127.0.0.1:")
        ports = [str(each.port) for each in listening_below(os.getpid())]
        assert len(ports) >= 3
        told = tmp_path / "told"
        command = [sys.executable, "-c", STRANGER, scheduler, str(told)]
        done = subprocess.run([*command, *ports], capture_output=True, text=True, timeout=200, check=True)
        assert not told.exists(), done.stdout
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
        key = dask.config.get("distributed.comm.tls.client.key")
        assert stat.S_IMODE(Path(key).stat().st_mode) == 0o600
        assert stat.S_IMODE(Path(key).parent.stat().st_mode) == 0o700
        keys = {f"{TLS}CLIENT__{name}": dask.config.get(f"distributed.comm.tls.client.{name.lower()}")
                for name in ("CERT", "KEY")}  # fmt: skip
        keys[f"{TLS}CA_FILE"] = dask.config.get("distributed.comm.tls.ca-file")
        subprocess.run(command, env={**os.environ, **keys}, capture_output=True, timeout=100, check=True)
        assert told.exists()
    assert not Path(key).parent.exists()


def test_workers_import_nothing_from_where_others_can_write(tmp_path):
    """Dask puts its folder first on the module path of scheduler, watcher and worker."""

    def folders() -> list[str]:
        return [path for path in sys.path if "scratch" in path]

    with local_cluster(1, tmp_path / "logs", []) as client:
        found = [client.run_on_scheduler(folders)]
        found += [*client.run(folders).values(), *client.run(folders, nanny=True).values()]
        assert len(found) == 3
        for folder in (Path(path) for paths in found for path in paths):
            (own,) = (parent for parent in folder.parents if parent.name.startswith("bench-workers-"))
            assert stat.S_IMODE(own.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "where", ["tcp://192.0.2.7:8786", "192.0.2.7:8786", "tcp://0.0.0.0:8786", "ws://[2001:db8::1]:1"]
)
def test_a_scheduler_without_tls_elsewhere_is_refused(where, mtt, tmp_path):
    result = bench("run", "--encoder", "mfcc", "--task", "mtt", "--data", mtt[0], "--store", tmp_path / "store",
                   "--cluster", where)  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1] == (
        f"bench: --cluster {where}: without TLS anybody who reaches that port can run code as you: use tls://HOST:PORT "
        "(docs/slurm.md), or set DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=False to accept it"
    )


def test_which_schedulers_are_accepted(monkeypatch, tmp_path):
    hosts = {"here": ["127.0.0.1", "::1"], "there": ["192.0.2.7"], "both": ["127.0.0.1", "192.0.2.7"]}
    known = {name: [(0, 0, 0, "", (address, 1)) for address in found] for name, found in hosts.items()}
    monkeypatch.setattr(tls.socket, "getaddrinfo", lambda host, *_, **__: known[host])
    check_address("tcp://here:8786")
    for host in ("there", "both"):
        with pytest.raises(UserError, match="anybody who reaches that port can run code as you"):
            check_address(f"tcp://{host}:8786")
        with dask.config.set({"distributed.comm.require-encryption": False}):
            check_address(f"tcp://{host}:8786")
    with (
        dask.config.set({"distributed.comm.require-encryption": True}),
        pytest.raises(UserError, match="--cluster tcp://here:8786: Dask is set to require encryption"),
    ):
        check_address("tcp://here:8786")
    for wrong in ("slrum", "tls://there", "tcp://"):
        with pytest.raises(UserError, match="must be slurm, tls://HOST:PORT or tcp://HOST:PORT"):
            check_address(wrong)
    with pytest.raises(UserError, match=f"Dask has no certificates: set {TLS}CA_FILE"):
        check_address("tls://there:8786")
    settings = {"ca-file": str(tmp_path / "ca.pem"), "client.cert": "cert.pem", "client.key": "key.pem"}
    with (
        dask.config.set({f"distributed.comm.tls.{name}": value for name, value in settings.items()}),
        pytest.raises(UserError, match="cannot read the certificates that Dask is set to use: .*No such file"),
    ):
        check_address("tls://there:8786")
