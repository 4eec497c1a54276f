"""What an encoder may offer beyond its contract, asked of the object and not of its class.

An encoder has a capability if it has its methods; nothing is to be inherited. ``bench check`` says which ones an
encoder has, whether they keep their promises, and what they make it fit for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class FrontEndAndTrunk(Protocol):
    """Computes features of the waveform and represents those, so that features may be changed in between."""

    def features(self, waveform: Tensor) -> Tensor:
        """Features [B, bands, t], such as a spectrogram, of waveforms [B, 1, T]."""

    def trunk(self, features: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """What `Encoder.represent` gives for the waveform that `features` [B, bands, t] are of."""


@runtime_checkable
class LatentsAndContexts(Protocol):
    """Has a sequence of local latents and one of contexts over them, as predictive coding needs."""

    def latents(self, waveform: Tensor) -> Tensor:
        """Latents [B, t, C] of waveforms [B, 1, T], each of a short stretch."""

    def contexts(self, latents: Tensor) -> Tensor:
        """Contexts [B, t, C'] of `latents` [B, t, C]; each sees its own latent and no later one."""


@runtime_checkable
class Branched(Protocol):
    """Computes several outputs behind a common part, such as one for each target."""

    def branches(self) -> Mapping[str, str]:
        """Layer that a branch ends with -> the layer before it where it parts from the others."""


@runtime_checkable
class SourceBranches(Protocol):
    """Has a branch for each of several sources of labels, all of which together are the representation.

    Attributes
    ----------
    sources
        Names of the sources that it is for; empty where any will do.
    branch_count
        Number of branches; 0 if every source is to be read from the same representation.
    """

    sources: tuple[str, ...]
    branch_count: int

    def branch(self, waveform: Tensor, place: int) -> Tensor:
        """What the branch at a place alone gives [B, dim / branch_count] for waveforms [B, 1, T]."""

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that lie before the branches."""


@runtime_checkable
class CorpusStatistics(Protocol):
    """Standardises by statistics of the corpus it is trained on, which lie among its weights."""

    def has_statistics(self) -> bool:
        """Whether they have been taken from a corpus, or came with weights."""

    def fit_statistics(self, waveforms: Iterable[Tensor]) -> None:
        """Take them from waveforms [B, 1, T], all of a corpus one after another."""


@runtime_checkable
class Tagger(Protocol):
    """Has a head of its own, which tells tags that it was trained on.

    Attributes
    ----------
    tag_names
        What the values that `tags` gives are for.
    left_context
        Samples before a window that `tags` makes use of where there are any.
    """

    tag_names: tuple[str, ...]
    left_context: int

    def tags(self, waveform: Tensor) -> Tensor:
        """Probabilities [B, tags] for waveforms [B, 1, T]: windows, or windows behind `left_context` samples."""
