"""Whether tasks and protocols rank alike, as documents have it."""

from __future__ import annotations

from typing import TypedDict

from analysis.documents.estimates import Spread


class TaskPair(Spread):
    """How two tasks agree.

    Attributes
    ----------
    a, b
        The tasks.
    n
        How many both have ranked.
    estimate, p
        Kendall's tau-b, and its p value of independence; null where one task ranks all alike.
    method
        Of the interval: ``resampled scores``, ``large sample`` or ``none``.
    """

    a: str
    b: str
    n: int
    estimate: float | None
    p: float | None
    method: str


class ProtocolPair(Spread):
    """How two protocols agree.

    Attributes
    ----------
    a, b
        The protocols.
    estimate, p
        Kendall's tau-b, and its p value of independence; null where one protocol ranks all alike.
    winner_a, winner_b, winner_changes
        The winner of either, and whether they differ.
    change_share
        Share of resamples in which the winners differ.
    noise_share
        The same between two draws of the scores of one protocol on the same drawn tasks; null where a protocol has one
        score in every cell.
    """

    a: str
    b: str
    estimate: float | None
    p: float | None
    winner_a: str
    winner_b: str
    winner_changes: bool
    change_share: float
    noise_share: float | None


class ProtocolWinner(TypedDict):
    """Who wins by a protocol.

    Attributes
    ----------
    winner
        By the scores as they are.
    shares
        Share of resamples that each wins.
    """

    winner: str
    shares: dict[str, float]


class ProtocolAgreement(TypedDict):
    """How protocols agree.

    Attributes
    ----------
    pairs
        Of protocols.
    winners
        By protocol.
    tasks
        Those on which everything ranked was scored under every protocol; no other counts.
    replicates
        How many resamples.
    """

    pairs: list[ProtocolPair]
    winners: dict[str, ProtocolWinner]
    tasks: list[str]
    replicates: int


class Agreement(TypedDict):
    """Whether tasks and protocols rank alike.

    Attributes
    ----------
    ranked
        Column of what is ranked; null where there is none.
    protocols, protocols_reason
        Null if there is one protocol, or for the reason that is then given.
    tasks
        Every pair of tasks.
    """

    ranked: str | None
    protocols: ProtocolAgreement | None
    protocols_reason: str | None
    tasks: list[TaskPair]
