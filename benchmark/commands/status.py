"""`bench status`: what is being computed on a store, asked from another shell."""

from __future__ import annotations

from benchmark.commands.common import JsonOption, StoreOption, print_document, store_folder


def status(store_path: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say what every `bench run` on the store is at.

    Example: bench status
    """
    from benchmark.console import Reporter, printable
    from benchmark.engine.progress import notes
    from benchmark.store.store import Store

    found = notes(Store(store_folder(store_path)), Reporter())
    if as_json:
        print_document(found)
        return
    if not found:
        print_document("Nothing is running on this store.")
    for note in found:
        state = "" if note["alive"] else " - NOT HEARD OF for a while; it has probably died"
        lines = [f"  on {note['host']}, process {note['pid']}{state}", f"  {note['words']}"]
        lines += [f"    {worker}: {title}" for worker, title in sorted(note["running"].items())]
        print_document("\n".join(printable(line) for line in (str(note["command"]), *lines)))
