"""Who may speak to the processes of a cluster: whoever may, can run any function as the user who started them.

The processes of one run speak TLS with a key that is made for that run and that both sides of every connection must
show. A scheduler that somebody else has started is reached with the certificates that Dask is set to use.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.libraries import load

_REQUIRED = "distributed.comm.require-encryption"


@contextmanager
def keys_of_a_run(folder: Path) -> Iterator[dict[str, str]]:
    """Let Dask in this process speak TLS only, with a key of its own.

    Parameters
    ----------
    folder
        Private to this user; the key lies there as long as the block lasts.

    Yields
    ------
    dict of str to str
        Environment with which workers have the same key. The certificate that they trust is a value in it, so that
        whoever can exchange files of the folder cannot make them trust another one; of the key there is but the path.

    Raises
    ------
    UserError
        If the package ``cryptography`` is not installed.
    """
    import dask
    from distributed import Security

    load("cryptography.x509")
    made = Security.temporary()
    certificate, key = made.tls_ca_file, folder / "key.pem"
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(made.tls_worker_key)
    settings: dict[str, Any] = {_REQUIRED: True, "distributed.comm.tls.ca-file": certificate}
    for role in ("client", "scheduler", "worker"):
        settings[f"distributed.comm.tls.{role}.cert"] = certificate
        settings[f"distributed.comm.tls.{role}.key"] = str(key)
    try:
        with dask.config.set(settings):
            yield {
                "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
                "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": certificate,
                "DASK_DISTRIBUTED__COMM__TLS__WORKER__CERT": certificate,
                "DASK_DISTRIBUTED__COMM__TLS__WORKER__KEY": str(key),
            }
    finally:
        key.unlink(missing_ok=True)


def check_address(where: str) -> None:
    """Refuse a scheduler of which it is not sure who sends it functions.

    Parameters
    ----------
    where
        ``tls://HOST:PORT``, or ``tcp://HOST:PORT`` on this machine.

    Raises
    ------
    UserError
        If it is no such address, if it is to be reached over a network without TLS, or if there are no certificates.
    """
    from distributed.comm.addressing import parse_address, parse_host_port

    try:
        scheme, place = parse_address(where)
        host, port = parse_host_port(place)
    except ValueError:
        raise UserError(f"--cluster {where}: must be slurm, tls://HOST:PORT or tcp://HOST:PORT") from None
    if scheme == "tls":
        _check_certificates(where)
    else:
        _check_loopback(where, host, port)


def _check_certificates(where: str) -> None:
    from distributed import Security

    try:
        context = Security().get_connection_args("client")["ssl_context"]
    except OSError as error:
        raise UserError(f"--cluster {where}: cannot read the certificates that Dask is set to use: {error}") from None
    if context is None:
        raise UserError(
            f"--cluster {where}: Dask has no certificates: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY (docs/slurm.md)"
        )


def _check_loopback(where: str, host: str, port: int) -> None:
    import dask

    required = dask.config.get(_REQUIRED)
    if required:
        raise UserError(f"--cluster {where}: Dask is set to require encryption: name it by tls://")
    if required is not None:
        return
    try:
        addresses = [found[4][0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise UserError(f"--cluster {where}: cannot find this host: {error}") from None
    if not all(ip_address(address).is_loopback for address in addresses):
        raise UserError(
            f"--cluster {where}: without TLS anybody who reaches that port can run code as you: use tls://HOST:PORT "
            "(docs/slurm.md), or set DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=False to accept it"
        )
