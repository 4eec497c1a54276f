"""Readouts of one's own: the class that a protocol names, found like an encoder's."""

from __future__ import annotations

from typing import cast

from benchmark.errors import UserError
from benchmark.registry.entries import ProtocolEntry, ReadoutEntry
from benchmark.registry.plugins import load_class
from benchmark.registry.registry import Named
from probes.protocol import OwnReadout
from probes.readouts.base import Readout


def own_readout(protocol: Named[ProtocolEntry]) -> Named[ReadoutEntry] | None:
    """The class that a protocol names as its readout; ``None`` if it names none."""
    readout = protocol.entry.readout
    if not isinstance(readout, OwnReadout):
        return None
    entry = ReadoutEntry.model_validate(readout.model_dump())
    return Named(f"protocols.{protocol.name}.readout", entry, protocol.file, protocol.line)


def build_readout(named: Named[ReadoutEntry]) -> Readout:
    """The readout, with the arguments that the protocol gives it.

    Raises
    ------
    UserError
        If its class cannot be imported, does not take the arguments, or has no `fit`.
    """
    found = load_class(named)
    where = f"{named.file}:{named.line}: {named.name}"
    try:
        readout = found(**named.entry.args)
    except TypeError as error:
        raise UserError(f"{where}.args: {error}") from None
    if not callable(getattr(readout, "fit", None)):
        raise UserError(f"{where}: {named.entry.class_path} has no method fit; see probes.readouts.base.Readout")
    return cast("Readout", readout)
