"""Dask's scheduler and worker as they are started here: a socket for their own protocol, on one address, and no other.

By themselves both start a web server, dashboard or not, and a worker listens on every address of its machine.
"""

from __future__ import annotations

from typing import Any

import distributed
from distributed.comm.addressing import get_address_host
from distributed.utils import get_ip

#: How often an event loop looks whether it is late; as often as Dask does by itself, every process would wake up fifty
#: times a second beside the steps.
TICK = "1s"
#: Environment of a worker: steps may start processes of their own; a profiler that looks at a step a hundred times a
#: second costs it some per cent; and files of the working directory are not to be imported in place of packages.
WORKER_SETTINGS = {
    "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": TICK,
    "PYTHONSAFEPATH": "1",
}
#: Options of ``dask worker`` for it to be a `Worker` of this module.
WORKER_OPTIONS = ("--worker-class", "benchmark.engine.dask_nodes.Worker", "--no-dashboard")


class Scheduler(distributed.Scheduler):  # type: ignore[misc]
    """A scheduler that has a web server only if an address for a dashboard is named."""

    def start_http_server(
        self, routes: Any, dashboard_address: str | None, default_port: int = 0, ssl_options: Any = None
    ) -> None:
        """Called by Dask as the scheduler starts."""
        if dashboard_address is not None:
            super().start_http_server(routes, dashboard_address, default_port, ssl_options)


class Worker(distributed.Worker):  # type: ignore[misc]
    """A worker that listens on the address that leads to its scheduler, if no other is named."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if not options.get("host") and not options.get("interface"):
            self._start_host = get_ip(get_address_host(self.scheduler.address))

    def start_http_server(
        self, routes: Any, dashboard_address: str | None, default_port: int = 0, ssl_options: Any = None
    ) -> None:
        """Called by Dask as the worker starts."""
        if self._dashboard:
            super().start_http_server(routes, dashboard_address, default_port, ssl_options)
