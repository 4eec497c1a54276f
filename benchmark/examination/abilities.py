"""What an encoder can do beyond its contract, whether it does it rightly, and which training that makes it fit for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from encoders.base import Encoder
from encoders.capabilities import Branched, CorpusStatistics, FrontEndAndTrunk, LatentsAndContexts, SourceBranches

DIFFERENTIABLE = "a differentiable representation with parameters"
FRONT_END = "front end and trunk"
LATENTS = "latents and contexts"
BRANCHES = "branches"
SOURCES = "branches of sources"
STATISTICS = "statistics of a corpus"

#: Method of training, or part of one -> what it needs of an encoder.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "contrastive": (DIFFERENTIABLE,),
    "supervised": (DIFFERENTIABLE,),
    "multi_source": (DIFFERENTIABLE,),
    "predictive": (DIFFERENTIABLE, LATENTS),
    "augmentation of features": (DIFFERENTIABLE, FRONT_END),
}


def examine_abilities(encoder: Encoder, waveform: Tensor) -> dict[str, str]:
    """Capabilities that an encoder has -> what is wrong with each; empty if nothing.

    Parameters
    ----------
    encoder
        In evaluation mode, on the device of `waveform`.
    waveform : Tensor, shape [1, 1, T]
    """
    found = {}
    if isinstance(encoder, FrontEndAndTrunk):
        found[FRONT_END] = _fault_of_trunk(encoder, encoder(waveform), waveform)
    if isinstance(encoder, LatentsAndContexts):
        found[LATENTS] = _fault_of_contexts(encoder, waveform)
    if isinstance(encoder, Branched):
        found[BRANCHES] = _fault_of_branches(encoder.branches(), encoder.layers())
    if isinstance(encoder, SourceBranches):
        found[SOURCES] = _fault_of_sources(encoder, encoder(waveform), waveform)
    if isinstance(encoder, CorpusStatistics):
        found[STATISTICS] = ""
    return found


def trainings(abilities: set[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Of `NEEDS`, what an encoder with these abilities is fit for; and each ability that it lacks -> for what."""
    fit = [name for name, needs in NEEDS.items() if abilities.issuperset(needs)]
    missing: dict[str, list[str]] = {}
    for name, needs in NEEDS.items():
        for need in needs:
            if need not in abilities:
                missing.setdefault(need, []).append(name)
    return fit, missing


def parameters_behind(encoder: Encoder, waveform: Tensor) -> int | None:
    """Numbers in parameters that the graph of the representation leads to; ``None`` if it has no graph."""
    parameters = list(encoder.parameters())
    learned = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(parameter.is_floating_point())
        found = encoder(waveform)
    finally:
        for parameter, flag in zip(parameters, learned, strict=True):
            parameter.requires_grad_(flag)
    if found.grad_fn is None:
        return None
    reached: set[int] = set()
    seen: set[object] = set()
    waiting = [found.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            reached.add(id(node.variable))
        waiting += [following for following, _ in node.next_functions if following is not None]
    return sum(parameter.numel() for parameter in parameters if id(parameter) in reached)


def _fault_of_trunk(encoder: FrontEndAndTrunk, representation: Tensor, waveform: Tensor) -> str:
    features = encoder.features(waveform)
    if features.ndim != 3 or len(features) != len(waveform):
        return f"features of shape {list(features.shape)}, not [1, bands, t]"
    found, _ = encoder.trunk(features)
    return "" if torch.equal(found, representation) else "the trunk of the features is not the representation"


def _fault_of_contexts(encoder: LatentsAndContexts, waveform: Tensor) -> str:
    latents = encoder.latents(waveform)
    if latents.ndim != 3 or len(latents) != len(waveform) or latents.shape[1] < 2:
        return f"latents of shape {list(latents.shape)}, not [1, t, C] with several t"
    contexts = encoder.contexts(latents)
    if contexts.ndim != 3 or contexts.shape[:2] != latents.shape[:2]:
        return f"contexts of shape {list(contexts.shape)} for latents of shape {list(latents.shape)}"
    if not bool(latents.isfinite().all() and contexts.isfinite().all()):
        return "latents or contexts that are not finite"
    changed = latents.clone()
    changed[:, -1] += 1
    difference = (encoder.contexts(changed) - contexts)[:, :-1].abs().max()
    # Sums of other shapes are rounded otherwise, no more.
    return "" if float(difference) <= 1e-5 * float(contexts.abs().max()) else "contexts that see later latents"


def _fault_of_branches(branches: Mapping[str, str], layers: tuple[str, ...]) -> str:
    for branch, parting in branches.items():
        unknown = [name for name in (branch, parting) if name not in layers]
        if unknown:
            return f"branch {branch!r}: {unknown[0]!r} is no layer"
        if layers.index(parting) >= layers.index(branch):
            return f"branch {branch!r} parts at {parting!r}, which does not come before it"
    return "" if branches else "no branch is named"


def _fault_of_sources(encoder: SourceBranches, representation: Tensor, waveform: Tensor) -> str:
    if encoder.sources and encoder.branch_count not in (0, len(encoder.sources)):
        return f"{len(encoder.sources)} sources, and {encoder.branch_count} branches"
    parts = [encoder.branch(waveform, place) for place in range(max(1, encoder.branch_count))]
    if len({part.shape[1] for part in parts}) > 1:
        return "branches of different widths"
    together = torch.cat(parts, dim=1)
    same = together.shape == representation.shape and torch.equal(together, representation)
    return "" if same else "the branches side by side are not the representation"
