"""The names that the released CLMR and TUNe code gives to the tensors of a state, and ours for the same."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from encoders.base import Encoder
from encoders.sample_cnn import SampleCNN
from encoders.tune import TUNe

#: Deepest level that the released TUNe classes number plainly; below it they say "deeper".
_NUMBERED_LEVELS = 4


def published_prefixes(encoder: Encoder) -> dict[str, str]:
    """Prefix of every module of `encoder` -> its prefix in the released code; empty for other architectures."""
    if isinstance(encoder, SampleCNN):
        return _sample_cnn_prefixes(encoder, "", "sequential.{n}.")
    if isinstance(encoder, TUNe):
        return _tune_prefixes(encoder)
    return {}


def from_published(encoder: Encoder, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with released names replaced by ours; names that the released code does not use stay."""
    ours = {theirs: mine for mine, theirs in published_prefixes(encoder).items()}
    if isinstance(encoder, SampleCNN):
        # CLMR's oldest files number its convolutions from one.
        oldest = _sample_cnn_prefixes(encoder, "", "conv{number}.")
        ours |= {theirs: mine for mine, theirs in oldest.items()}
    renamed = {}
    for key, tensor in state.items():
        stem, dot, leaf = key.rpartition(".")
        renamed[ours.get(stem + dot, stem + dot) + leaf] = tensor
    return renamed


def _sample_cnn_prefixes(encoder: SampleCNN, inside: str, theirs: str) -> dict[str, str]:
    return {
        f"{inside}blocks.{n}.{part}.": theirs.format(n=n, number=n + 1) + f"{index}."
        for n in range(len(encoder.blocks))
        for index, part in enumerate(("conv", "norm"))
    }


def _tune_prefixes(encoder: TUNe) -> dict[str, str]:
    blocks: dict[str, str] = {}
    ups: dict[str, str] = {}
    bottom = len(encoder.contractive)
    end_level = bottom - len(encoder.expansive)
    for level in range(bottom + 1):
        ours = "bottleneck" if level == bottom else f"contractive.{level}"
        deeper = level - _NUMBERED_LEVELS
        blocks[ours] = f"deeperDown{deeper}" if deeper > 0 else f"conv{level + 1}"
    for e, level in enumerate(range(bottom - 1, end_level - 1, -1)):
        deeper = level - _NUMBERED_LEVELS + 1
        blocks[f"expansive.{e}"] = f"deeperUp{deeper}" if deeper > 0 else f"conv{9 - level}"
        ups[f"up.{e}"] = f"transposedDeeper{deeper}" if deeper > 0 else f"transposedConv{9 - level}"
    prefixes = {f"{ours}.": f"{theirs}." for ours, theirs in ups.items()}
    if isinstance(encoder.tail, SampleCNN):
        prefixes |= _sample_cnn_prefixes(encoder.tail, "tail.", "model_down.sequential.{n}.")
    else:
        # Variants with a shorter expansive path skip the numbers of the tail blocks that they lack.
        blocks |= {f"tail.{j}": f"convDown{j + 1 + end_level}" for j in range(len(encoder.tail))}
    for ours, theirs in blocks.items():
        prefixes |= {f"{ours}.conv.": f"{theirs}.layers.0.", f"{ours}.norm.": f"{theirs}.layers.1."}
    return prefixes
