"""Why files are not used, or are odd, told by kind: the kind is what stands before a reason's first colon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmark.console import printable

#: Files that are named before the rest of their kind is counted.
NAMED = 3


def by_kind(reasons: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Divide path -> reason by kind.

    Returns
    -------
    dict
        Kind -> path -> the rest of the reason, which may be empty; the most frequent kind first.
    """
    kinds: dict[str, dict[str, str]] = {}
    for path, reason in reasons.items():
        kind, _, rest = reason.partition(": ")
        kinds.setdefault(kind, {})[path] = rest
    return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def summary(reasons: Mapping[str, str]) -> Iterator[str]:
    """Lines with every kind, its number of files, and the first few of them."""
    for kind, files in by_kind(reasons).items():
        yield printable(f"{len(files):,} {kind}:") if kind else f"{len(files):,}:"
        for path in list(files)[:NAMED]:
            yield printable(f"  {path}" + (f": {files[path]}" if files[path] else ""))
        if len(files) > NAMED:
            yield f"  and {len(files) - NAMED:,} more"
