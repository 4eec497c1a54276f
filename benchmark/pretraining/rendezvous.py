"""Where the processes that train one model find one another, and over which network they send tensors.

Neither PyTorch's store nor gloo nor NCCL encrypts anything or asks who is there. On one machine the processes meet in
a file of a private folder and use the loopback interface; only those of several nodes open ports to a network.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from torch import distributed

from benchmark.console import Reporter
from benchmark.environment import node_count, node_rank
from benchmark.errors import UserError

#: The request for the first IPv4 address of a network interface.
_SIOCGIFADDR = 0xC0206921 if sys.platform == "darwin" else 0x8915
#: How long processes wait for one another before they begin.
_PATIENCE = timedelta(minutes=30)


@contextmanager
def rendezvous() -> Iterator[tuple[Path | None, dict[str, str]]]:
    """The file in which the processes of this machine meet, and what their environment must hold besides.

    ``None`` stands for the store of PyTorch that the first of several nodes opens at ``MASTER_ADDR`` and
    ``MASTER_PORT``.

    Raises
    ------
    UserError
        If there are several nodes, and the environment does not say where they meet.
    """
    if node_count() > 1:
        missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
        if missing:
            raise UserError(
                f"NNODES={node_count()}: the nodes cannot find one another; set {' and '.join(missing)} too"
            )
        yield None, _over_loopback() if _one_machine() else {}
        return
    with tempfile.TemporaryDirectory(prefix="bench-training-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "rendezvous", _over_loopback()


def join(backend: str, rank: int, world: int, file: Path | None) -> None:
    """Enter the group of processes; also the point where those of all nodes wait for one another."""
    store: Any = None
    if file is not None:
        store = distributed.FileStore(str(file), world)  # type: ignore[attr-defined]
    elif _one_machine():
        store = _store_on_loopback(rank, world)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world)


def warn_of_network(reporter: Reporter) -> None:
    """Say that the nodes of a training trust their network, if there are several."""
    if node_count() > 1 and node_rank() == 0 and not _one_machine():
        reporter.say(
            f"  training over {node_count()} nodes: what they send is neither encrypted nor authenticated; "
            "let no one else into their network"
        )


def _one_machine() -> bool:
    """Whether several "nodes" meet at an address that only this machine has.

    A host's name does not count: on the host itself it often stands for a loopback address.
    """
    host = os.environ.get("MASTER_ADDR", "")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _over_loopback() -> dict[str, str]:
    name = loopback_interface()
    return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": f"={name}"}


def loopback_interface() -> str:
    """Name of the network interface with the loopback address, ``lo`` as a rule.

    Raises
    ------
    UserError
        If there is none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # an interface without an IPv4 address
                continue
            if ip_address(answer[20:24]).is_loopback:
                return name
    raise UserError("training on several devices needs a loopback interface, and none is up: ip link set lo up")


def _store_on_loopback(rank: int, world: int) -> Any:
    """PyTorch's store, which by itself would listen on every address of the machine."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    listening = None
    if rank == 0:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family).detach()
    return distributed.TCPStore(host, port, world, rank == 0, _PATIENCE, master_listen_fd=listening)  # type: ignore[attr-defined]
