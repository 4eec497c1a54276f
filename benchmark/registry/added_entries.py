"""Adding an entry to a user's own registry file, as text: what stands there, comments too, stays as it is."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import UserError
from benchmark.registry.entries import Entry
from benchmark.registry.registry import Registry, built_in_registry
from benchmark.registry.yaml_dialect import EXPONENTS, read_document
from benchmark.store.store import write_atomically


def with_entry(file: Path, section: str, name: str, entry: Mapping[str, Any]) -> bytes:
    """Content of a registry file once one entry is added to it; see `with_entries`."""
    return with_entries(file, [(section, name, entry)])


def with_entries(file: Path, entries: Sequence[tuple[str, str, Mapping[str, Any]]]) -> bytes:
    """Content of a registry file once `entries` are added to it; the file need not exist yet.

    Parameters
    ----------
    file
        A registry file of the user's.
    entries
        Section of the registry, e.g. ``"encoders"``, name and content of each.

    Raises
    ------
    UserError
        If the file is the built-in registry, cannot be read or already has an entry of that name, or an entry
        cannot be added without touching anything else.
    """
    if file.exists() and file.samefile(built_in_registry()):
        raise UserError(f"{file}: is the registry of bench itself; name one of your own with --registry")
    before = _entries(file) if file.exists() else {}
    try:
        text = file.read_bytes().decode() if file.exists() else ""
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    by_hand = UserError(f"{file}: cannot add to this file without rewriting it; name another one with --registry")
    for section, name, entry in entries:
        if (section, name) in before:
            raise UserError(f"{file}: {section} already has an entry {name!r}; choose another name")
        text = _inserted(text, section, name, entry)
        try:
            found = _entries_of_text(text, file)
        except UserError:
            raise by_hand from None
        added = found.get((section, name))
        if {key: found[key] for key in found if key != (section, name)} != before or not isinstance(added, Entry):
            raise by_hand
        before = found
    return text.encode()


def add_entry(file: Path, section: str, name: str, entry: Mapping[str, Any]) -> None:
    """Write the file that `with_entry` describes; it is never seen half-written."""
    add_entries(file, [(section, name, entry)])


def add_entries(file: Path, entries: Sequence[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Write the file that `with_entries` describes; it is never seen half-written."""
    content = with_entries(file, entries)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, content)


def _entries(file: Path) -> dict[tuple[str, str], Any]:
    """The entries of a registry file; one that does not validate as it stands there."""
    registry = Registry()
    registry.add_file(file)
    document = read_document(file).value
    return {
        (section, name): registry.sections[section][name].entry if name in registry.sections[section] else raw
        for section, names in (document or {}).items()
        for name, raw in names.items()
    }


def _entries_of_text(text: str, beside: Path) -> dict[tuple[str, str], Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / beside.name
        file.write_bytes(text.encode())
        return _entries(file)


def _inserted(text: str, section: str, name: str, entry: Mapping[str, Any]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += newline
    root = yaml.compose(text, Loader=yaml.SafeLoader) if text else None
    keys = [(key, value) for key, value in root.value] if isinstance(root, yaml.MappingNode) else []
    place = next((i for i, (key, _) in enumerate(keys) if key.value == section), None)
    if place is None:
        block = [f"{section}:", *_block(name, entry, "  ")]
        return "".join([*lines, *([newline] if lines else []), *(line + newline for line in block)])
    content = keys[place][1]
    if not content.value:  # {}
        begin, end = content.start_mark, content.end_mark
        lines[end.line] = lines[begin.line][: begin.column].rstrip() + lines[end.line][end.column :]
        del lines[begin.line : end.line]
        at, indent = begin.line + 1, "  "
    else:
        at = keys[place + 1][0].start_mark.line if place + 1 < len(keys) else len(lines)
        # Blank lines and comments at the margin belong to what follows.
        while not lines[at - 1].strip() or lines[at - 1].startswith("#"):
            at -= 1
        indent = " " * content.value[0][0].start_mark.column
    block = _block(name, entry, indent)
    return "".join([*lines[:at], *(line + newline for line in block), *lines[at:]])


def _block(name: str, entry: Mapping[str, Any], indent: str) -> list[str]:
    """Lines of an entry, written as in the built-in registry: a key a line, values in flow style."""
    return [f"{indent}{_flow(name)}:", *(f"{indent}  {key}: {_flow(value)}" for key, value in entry.items())]


class _Dumper(yaml.SafeDumper):
    """Puts in quotes what a registry would read as a number."""


_Dumper.add_implicit_resolver(*EXPONENTS)


def _flow(value: Any) -> str:
    """A value in YAML, on one line; letters beyond ASCII as they are, unless YAML would read them as line ends."""
    for plain in (True, False):
        text = yaml.dump(
            value, Dumper=_Dumper, default_flow_style=True, width=float("inf"), sort_keys=False, allow_unicode=plain
        ).removesuffix("...\n")
        if "\n" not in text.strip("\n") and yaml.safe_load(text) == value:
            break
    return text.strip("\n")
