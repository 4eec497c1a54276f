"""Several processes that train one model together, a device each: on this machine, or on several nodes.

One process of this program runs on every node; it starts a process for each device of its node. Several nodes find one
another as PyTorch's own launchers have it: ``MASTER_ADDR``, ``MASTER_PORT``, ``NNODES`` and ``NODE_RANK`` in the
environment, none of which is needed on a single node.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from benchmark.console import Reporter, Silent
from benchmark.environment import measured, node_count, node_rank, report
from benchmark.errors import USER_ERRORS, UserError
from benchmark.libraries import library_errors
from benchmark.pretraining.rendezvous import join, rendezvous
from benchmark.store.step import Step


@dataclass(frozen=True)
class Rank:
    """A process among those that train together.

    Attributes
    ----------
    rank, world
        Its number, and how many there are in all.
    local_rank, local_world
        The same on its node; the local rank is also the number of its device.
    nodes
        Number of nodes.
    backend
        What PyTorch sends tensors with: ``"nccl"`` between GPUs, ``"gloo"`` between CPUs.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    nodes: int = 1
    backend: str = "gloo"

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        if torch.cuda.is_available() and (self.world == 1 or self.backend == "nccl"):
            return torch.device("cuda", self.local_rank)
        return torch.device("cpu")


def visible_to_each(jobs: int) -> int:
    """GPUs that each of several processes on this machine sees: all of them if it is alone, else one if any."""
    visible = torch.cuda.device_count()
    return visible if jobs == 1 else min(visible, 1)


def devices_of(step: Step, visible: int | None = None, reporter: Reporter | None = None) -> int:
    """Devices of this node that a training step takes; see `devices_allowed`.

    Raises
    ------
    UserError
        If there are not as many, or the batch of its recipe cannot be divided among them.
    """
    recipe = step.spec["recipe"]
    devices = devices_allowed(step.context.get("devices"), recipe["batch"], reporter or Silent(), visible)
    _check_divides(recipe["batch"], devices)
    if recipe.get("negatives") == "replica" and recipe["batch"] == devices * node_count():
        raise UserError(
            f"{step.title}: with negatives=replica, a batch of {recipe['batch']} on as many devices leaves each pair "
            "nothing to be told from; choose a larger --batch or fewer --devices"
        )
    return devices


def devices_allowed(wanted: int | None, batch: int, reporter: Reporter, visible: int | None = None) -> int:
    """Devices of this node to train on: those that are visible, or as many of them as are wanted.

    Parameters
    ----------
    wanted
        ``None`` for the GPUs that ``CUDA_VISIBLE_DEVICES`` leaves, as many of them as divide the batch, or the CPU
        where there is none. On a machine without a GPU, a number means processes.
    batch
        Examples a step, which all devices of all nodes share evenly.
    reporter
        Told if GPUs are left idle.
    visible
        GPUs that the process which trains will see; those that this one sees if it is ``None``.

    Raises
    ------
    UserError
        If more GPUs are wanted than there are.
    """
    visible = torch.cuda.device_count() if visible is None else visible
    if wanted is None:
        fitting = max((count for count in range(1, visible + 1) if batch % (count * node_count()) == 0), default=0)
        if 0 < fitting < visible:
            reporter.say(f"  training on {fitting} of {visible} GPUs, the most that a batch of {batch} divides among")
        return max(fitting, 1)
    if visible and wanted > visible:
        raise UserError(f"--devices {wanted}: there are {visible}; see CUDA_VISIBLE_DEVICES")
    return wanted


def _check_divides(batch: int, devices: int) -> None:
    world = devices * node_count()
    if batch % world:
        raise UserError(
            f"a batch of {batch} cannot be divided among {world} devices; choose another --batch or --devices"
        )


def together(function: Callable[..., dict[str, Any]], devices: int, batch: int, *arguments: Any) -> dict[str, Any]:
    """Call ``function(rank, *arguments)`` in a process for each device, and return what the first one returns.

    With one device on one node the call happens in this process; otherwise the first one's device and memory are
    reported to `benchmark.environment.measured`.

    Parameters
    ----------
    function
        A function of a module; it and its arguments must be picklable.
    devices
        Processes on this node.
    batch
        Examples a step, which are divided evenly among all processes.

    Raises
    ------
    UserError
        If a process raised one, or the batch cannot be divided.
    """
    _check_divides(batch, devices)
    world = devices * node_count()
    if world == 1:
        return function(Rank(), *arguments)
    context = get_context("spawn")
    results: Any = context.Queue()
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    ranks = [
        Rank(node_rank() * devices + local, world, local, devices, node_count(), backend) for local in range(devices)
    ]
    with rendezvous() as (file, over):
        environment = {"WORLD_SIZE": str(world), "NODE_RANK": str(node_rank()), **over}
        started = start_processes(
            _work, (ranks, environment, file, results, function, arguments), devices, join=False, start_method="spawn"
        )
        return _outcome(started, results)


def _outcome(started: Any, results: Any) -> dict[str, Any]:
    failure: Exception | None = None
    try:
        while not started.join():
            pass
    except (ProcessExitedException, ProcessRaisedException) as error:
        failure = error
    finally:
        for process in started.processes:
            if process.is_alive():
                process.terminate()
    try:
        kind, found = results.get(timeout=10)
    except queue.Empty:
        raise failure or RuntimeError("the processes ended without a result") from None
    if kind == "error":
        raise UserError(found) from None
    if failure is not None:
        raise failure
    facts, resources = found
    report(resources)
    return dict(facts)


def _work(
    local_rank: int,
    ranks: list[Rank],
    environment: dict[str, str],
    file: Path | None,
    results: Any,
    function: Any,
    arguments: Any,
) -> None:
    own = ranks[local_rank]
    os.environ.update(environment, RANK=str(own.rank), LOCAL_RANK=str(local_rank))
    torch.set_num_threads(max(1, torch.get_num_threads() // own.local_world))
    if own.backend == "nccl":
        torch.cuda.set_device(local_rank)
    try:
        join(own.backend, own.rank, own.world, file)
        with library_errors(), measured() as resources:
            found = function(own, *arguments)
    except USER_ERRORS as error:
        results.put(("error", str(error)))
        results.close()
        results.join_thread()
        raise SystemExit(2) from None
    except KeyboardInterrupt:  # the process that started this one says so
        raise SystemExit(130) from None
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    if local_rank == 0:
        results.put(("result", (found, resources)))
