"""Nothing that a test starts in Python may listen to another machine: a socket that it would is an error at once.

Dask's processes, and what PyTorch opens in C++, are looked at from outside; see `listening`.
"""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an IP address; IPv4 may be written as IPv6."""
    found = ip_address(address.partition("%")[0])
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def refuse_others() -> None:
    """From now on this process and its forks bind sockets to loopback addresses only; cannot be undone."""
    sys.addaudithook(_look)


def _look(event: str, arguments: tuple) -> None:
    if event != "socket.bind" or arguments[0].family not in (socket.AF_INET, socket.AF_INET6):
        return
    host = arguments[1][0]
    if host != "localhost" and not (host and is_loopback(host)):
        raise PermissionError(f"a test would listen on {host or 'every address'}: name 127.0.0.1")
