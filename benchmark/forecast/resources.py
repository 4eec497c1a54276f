"""What an encoder costs: numbers to learn, multiply-adds, memory for training, windows per second on this device."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from benchmark.console import Reporter
from benchmark.encoding.windows import build_encoder, device, exact_float32
from benchmark.errors import USER_ERRORS, UserError
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.registry import Named
from benchmark.text import table
from encoders.base import Encoder

#: An encoder of any length is measured on as much audio as a window of CLMR and TUNe holds [s].
VIEW_SECONDS = 59_049 / 22_050
#: Outputs of the classifier that the TUNe paper counts among the parameters of an encoder.
HEAD = 50
#: A batch counts as faster if its rate is higher by this factor.
FASTER = 1.03
#: Batch sizes double until this many in a row are not faster.
PATIENCE = 2
#: No batch is begun when the search has taken this long [s].
SEARCH_SECONDS = 2.0
#: A batch is timed for this long [s], and at most this many times.
TIMED_SECONDS, TIMED_RUNS = 0.2, 5
#: Largest batch that is tried.
LARGEST = 4096


@dataclass(frozen=True)
class Resources:
    """Cost of one encoder; a view is one window, or `samples` of audio where any length will do.

    Attributes
    ----------
    encoder
        Its name.
    parameters, trainable_parameters, buffers
        Numbers learned or loaded, without any head; those of them that training changes; numbers that are kept but
        not learned, such as running statistics.
    dim, window, sample_rate
        As of `encoders.base.Encoder`.
    samples
        Length of a view.
    multiply_adds
        Of a forward pass over a view, in convolutions and matrix products; Fourier transforms are not counted.
    activation_bytes
        What a forward pass in training keeps for the backward pass, per view, the view included, weights not.
    weight_bytes
        Size of the parameters.
    windows_per_second_forward, windows_per_second_training
        Forward in evaluation mode, and forward with backward in training mode without an optimiser step, both in
        float32; ``None`` for training if nothing in it is trained.
    batch_forward, batch_training
        Windows at once that gave these rates.
    device
        Where they were measured.
    """

    encoder: str
    parameters: int
    trainable_parameters: int
    buffers: int
    dim: int
    window: int | None
    sample_rate: int
    samples: int
    multiply_adds: int
    activation_bytes: int
    weight_bytes: int
    windows_per_second_forward: float
    windows_per_second_training: float | None
    batch_forward: int
    batch_training: int | None
    device: str


@dataclass(frozen=True)
class Unbuilt:
    """An encoder that cannot be built or run, or that nobody asked for.

    Attributes
    ----------
    encoder
        Its name.
    error
        Why.
    """

    encoder: str
    error: str


def view_samples(encoder: Encoder) -> int:
    """Length of the audio that an encoder is measured and checked on [samples]."""
    return encoder.view_samples(VIEW_SECONDS)


def measure_all(encoders: Iterable[Named[EncoderEntry]], reporter: Reporter) -> list[Resources | Unbuilt]:
    """Measure encoders one after another; of one that cannot be built or run, its row says why.

    Parameters
    ----------
    encoders
        Entries of the registry; their weights are not loaded, for they change none of the figures.
    reporter
        Shows progress.
    """
    named_encoders = list(encoders)
    rows: list[Resources | Unbuilt] = []
    with reporter.progress("measure", len(named_encoders), "encoders") as advance:
        for named in named_encoders:
            try:
                rows.append(measure_entry(named))
            except USER_ERRORS as error:
                rows.append(Unbuilt(named.name, f"cannot be measured: {' '.join(str(error).split())}"))
            advance(1)
    return rows


def measure_entry(named: Named[EncoderEntry]) -> Resources:
    """Cost of the encoder of an entry on this device.

    Raises
    ------
    UserError
        If it cannot be built, or whatever it raises when it is run.
    """
    encoder = build_encoder(named, 0)
    try:
        return measure(named.name, encoder)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{named.file}:{named.line}: encoders.{named.name}: {named.entry.class_path} cannot be run: {reason}; "
            f"`bench check {named.name}` says more"
        ) from error


def measure(name: str, encoder: Encoder) -> Resources:
    """Cost of one encoder on this device; leaves it changed (device, mode, running statistics)."""
    where = device()
    encoder.to(where)
    trainable = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    activations = activation_bytes(encoder)
    largest = _largest_batch(where, activations)
    training: tuple[float, int] | None = None
    with exact_float32():
        forward, batch_forward = _fastest(encoder, _forward, 1, largest)
        if activations:
            # Batch norm cannot train on one number a channel.
            training = _fastest(encoder, _forward_backward, 2, largest)
    return Resources(
        encoder=name,
        parameters=encoder.parameter_count(),
        trainable_parameters=trainable,
        buffers=sum(buffer.numel() for buffer in encoder.buffers()),
        dim=encoder.dim,
        window=encoder.window,
        sample_rate=encoder.sample_rate,
        samples=view_samples(encoder),
        multiply_adds=multiply_adds(encoder),
        activation_bytes=activations,
        weight_bytes=sum(p.numel() * p.element_size() for p in encoder.parameters()),
        windows_per_second_forward=forward,
        windows_per_second_training=training[0] if training else None,
        batch_forward=batch_forward,
        batch_training=training[1] if training else None,
        device=device_name(where),
    )


def multiply_adds(encoder: Encoder) -> int:
    """Multiply-adds of a forward pass over one view, as torch counts them."""
    encoder.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder(_views(encoder, 1))
    return int(counter.get_total_flops()) // 2


def activation_bytes(encoder: Encoder) -> int:
    """Bytes that autograd keeps for the backward pass of one view in training; zero if nothing can be trained.

    Every storage is counted once, however many operations keep it, and those of parameters and buffers not at all:
    they are there anyway. This is the "forward/backward" column of the TUNe paper's Table S3, without the weights.
    """
    encoder.train()
    own = {tensor.untyped_storage().data_ptr() for tensor in (*encoder.parameters(), *encoder.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    views = _views(encoder, 2)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        # The result holds the graph, and the graph what it keeps: no address is used twice meanwhile.
        result = encoder(views)
    if not result.requires_grad:
        return 0
    return sum(size for address, size in kept.items() if address not in own) // len(views)


def device_name(where: torch.device) -> str:
    """What the figures were measured on."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} {'thread' if threads == 1 else 'threads'}"


def synchronize(where: torch.device) -> None:
    """Wait for what a GPU has been given to do."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def _views(encoder: Encoder, batch: int) -> Tensor:
    where = next(iter((*encoder.parameters(), *encoder.buffers())), torch.empty(0)).device
    generator = torch.Generator().manual_seed(0)
    return (0.1 * torch.randn(batch, 1, view_samples(encoder), generator=generator)).to(where)


def _forward(encoder: Encoder, views: Tensor) -> None:
    encoder.eval()
    with torch.inference_mode():
        encoder(views)


def _forward_backward(encoder: Encoder, views: Tensor) -> None:
    encoder.train()
    encoder.zero_grad(set_to_none=True)
    encoder(views).sum().backward()


def _fastest(encoder: Encoder, run: Callable[[Encoder, Tensor], None], first: int, largest: int) -> tuple[float, int]:
    """Highest rate [windows/s] over growing batches, and the batch that reached it.

    Batches double until the rate no longer rises, memory ends, or on a CPU the time for the search is used up.
    """
    best, best_batch, behind = 0.0, first, 0
    batch = first
    began = perf_counter()
    while batch <= max(first, largest) and behind < PATIENCE:
        try:
            seconds = _seconds(encoder, run, _views(encoder, batch))
        except torch.OutOfMemoryError:
            if batch == first:
                raise
            torch.cuda.empty_cache()
            break
        if batch / seconds > best * FASTER:
            best, best_batch, behind = batch / seconds, batch, 0
        else:
            behind += 1
        batch *= 2
        if perf_counter() - began > SEARCH_SECONDS:
            break
    return best, best_batch


def _seconds(encoder: Encoder, run: Callable[[Encoder, Tensor], None], views: Tensor) -> float:
    """Median time of a run, after one that is not counted."""
    times: list[float] = []
    run(encoder, views)
    synchronize(views.device)
    while len(times) < TIMED_RUNS and sum(times) < TIMED_SECONDS:
        began = perf_counter()
        run(encoder, views)
        synchronize(views.device)
        times.append(perf_counter() - began)
    return sorted(times)[len(times) // 2]


def _largest_batch(where: torch.device, view_bytes: int) -> int:
    """On a CPU, where too large a batch ends the process instead of raising: what fits in half the free memory."""
    if where.type == "cuda" or not view_bytes:
        return LARGEST
    return min(LARGEST, free_memory(where) // (2 * view_bytes))


def free_memory(where: torch.device) -> int:
    """Memory of the device, or of the machine where it has none of its own, that nothing has taken [bytes]."""
    if where.type == "cuda":
        return int(torch.cuda.mem_get_info(where)[0])
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def resources_table(rows: Sequence[Resources | Unbuilt]) -> str:
    """Table for people, with the units of the TUNe paper's Table S3."""
    built = [row for row in rows if isinstance(row, Resources)]
    parts = [f"{row.encoder}: {row.error}" for row in rows if isinstance(row, Unbuilt)]
    if built:
        notes = (
            f"Windows per second in float32 on {built[0].device}; in brackets the batch, the fastest of those tried.\n"
            "GFLOP: two per multiply-add, in thousand millions. MiB kept: for the backward pass, weights not included."
        )
        parts = [table([_HEADINGS, *(_cells(row) for row in built)]), "", notes, *parts]
    return "\n".join(parts)


_HEADINGS = [
    "encoder",
    "parameters",
    f"with {HEAD}-way head",
    "trainable",
    "buffers",
    "dim",
    "window",
    "Hz",
    "GFLOP/view",
    "MiB kept/view",
    "weights MiB",
    "forward/s",
    "training/s",
]


def _cells(row: Resources) -> list[str]:
    return [
        row.encoder,
        f"{row.parameters:,}",
        f"{row.parameters + HEAD * (row.dim + 1):,}",
        f"{row.trainable_parameters:,}",
        f"{row.buffers:,}",
        str(row.dim),
        f"{row.window:,}" if row.window else f"any (here {row.samples:,})",
        f"{row.sample_rate:,}",
        f"{2 * row.multiply_adds / 1e9:.3f}",
        f"{row.activation_bytes / 2**20:.1f}",
        f"{row.weight_bytes / 2**20:.2f}",
        f"{row.windows_per_second_forward:.3g} ({row.batch_forward})",
        f"{row.windows_per_second_training:.3g} ({row.batch_training})" if row.windows_per_second_training else "-",
    ]
