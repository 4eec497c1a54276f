"""What our encoders' calls cost beside plain `torch.nn` code that does the same arithmetic with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.encoding.windows import CPU_BATCH, device, exact_float32
from benchmark.errors import UserError
from benchmark.forecast.resources import device_name, synchronize, view_samples
from benchmark.speed.results import ForwardRow
from encoders.base import Encoder
from encoders.sample_cnn import SampleCNN
from encoders.tune import TUNe

#: Measured unless others are named.
ENCODERS = ("tune_plus", "tune_tail_5", "sample_cnn")
#: A call may take this many times what the plain code takes.
LIMIT = 1.03
ROUNDS = 25
GPU_BATCH = 64


def forward_ratio(name: str, encoder: Encoder, rounds: int = ROUNDS) -> ForwardRow:
    """Time a forward pass through an encoder and through plain layers, taking turns.

    Parameters
    ----------
    name
        Of the encoder.
    encoder
        A TUNe or a SampleCNN.
    rounds
        How often each is timed.

    Returns
    -------
    ForwardRow

    Raises
    ------
    UserError
        If there is no plain counterpart of the encoder.
    """
    where = device()
    encoder.eval().to(where)
    plain = _plain(name, encoder)
    batch = CPU_BATCH if where.type == "cpu" else GPU_BATCH
    views = 0.1 * torch.randn(batch, 1, view_samples(encoder), device=where)
    times: dict[Callable[[Tensor], Tensor], list[float]] = {encoder: [], plain: []}
    with torch.inference_mode(), exact_float32():
        difference = float((encoder(views) - plain(views)).abs().max())
        for turn in range(rounds):
            for run in (encoder, plain) if turn % 2 else (plain, encoder):
                synchronize(where)
                began = perf_counter()
                run(views)
                synchronize(where)
                times[run].append(perf_counter() - began)
    return {
        "encoder": name,
        # Pairs, for a machine that others use is slower at one time than at another.
        "ratio": median(ours / theirs for ours, theirs in zip(times[encoder], times[plain], strict=True)),
        "ours_seconds": median(times[encoder]),
        "plain_seconds": median(times[plain]),
        "batch": batch,
        "difference": difference,
        "device": device_name(where),
    }


def _plain(name: str, encoder: Encoder) -> Callable[[Tensor], Tensor]:
    if isinstance(encoder, SampleCNN):
        return _plain_sample_cnn(encoder)
    if isinstance(encoder, TUNe):
        return _plain_tune(encoder)
    raise UserError(f"there is no plain code to compare {name} with; there is for TUNe and SampleCNN")


def _sequence(block: nn.Module) -> nn.Sequential:
    """What a block of either architecture does, from its layers."""
    layers = [*block.children(), nn.ReLU(inplace=True)]
    pool = getattr(block, "pool", 1)
    return nn.Sequential(*layers, *([nn.MaxPool1d(pool)] if pool > 1 else [])).eval()


def _plain_sample_cnn(encoder: SampleCNN) -> Callable[[Tensor], Tensor]:
    return nn.Sequential(*map(_sequence, encoder.blocks), nn.Flatten()).eval()


def _plain_tune(encoder: TUNe) -> Callable[[Tensor], Tensor]:
    if isinstance(encoder.tail, SampleCNN):
        raise UserError("there is no plain code to compare a TUNe with a SampleCNN as its tail with")
    down = [_sequence(block) for block in encoder.contractive]
    bottom = _sequence(encoder.bottleneck)
    rising = [(up, _sequence(block)) for up, block in zip(encoder.up, encoder.expansive, strict=True)]
    tail = [_sequence(block) for block in encoder.tail]
    plus = encoder.plus

    def forward(x: Tensor) -> Tensor:
        skips = []
        for block in down:
            x = block(x)
            skips.append(x)
            x = F.max_pool1d(x, 3)
        x = bottom(x)
        sources = [x]
        for up, block in rising:
            x = block(torch.cat([up(x), skips.pop()], 1))
            sources.append(x)
        sources.pop()
        for block in tail:
            x = F.max_pool1d(x, 3)
            if plus and sources:
                x = torch.cat([x, sources.pop()], 1)
            x = block(x)
        return x.mean(-1)

    return forward


def forward_table(rows: Sequence[ForwardRow]) -> str:
    """A line for each encoder and the verdict."""
    lines = [
        f"{row['encoder']}: {row['ours_seconds'] * 1e3:.1f} ms beside {row['plain_seconds'] * 1e3:.1f} ms plain for "
        f"{row['batch']} windows on {row['device']}, ratio {row['ratio']:.3f}"
        for row in rows
    ]
    worst = max(row["ratio"] for row in rows)
    return "\n".join([*lines, f"{'within' if worst <= LIMIT else 'ABOVE'} the limit of {LIMIT}"])
