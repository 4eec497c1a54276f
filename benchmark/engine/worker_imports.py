"""Imports what the steps of a plan rest on while a worker starts, before its first step asks for it.

``torch`` and Lightning take seconds of a processor to import. A worker that waits for its first step would spend them
after the labels and the corpus are ready, when all workers are wanted; this is a preload module of Dask's
(``dask worker --preload``), for the workers that `benchmark.engine.clusters.local_cluster` starts.
"""

from __future__ import annotations

import importlib
import os
import threading
from typing import Any

from benchmark.folder_settings import ignore_folder_settings

#: Environment variable with the kinds of steps to come, separated by commas.
KINDS = "BENCH_STEP_KINDS"


def dask_setup(worker: Any) -> None:
    """Called by Dask as a worker starts: the imports go on beside it, in a thread that ends with it."""
    del worker
    ignore_folder_settings()
    threading.Thread(target=_import, args=(os.environ.get(KINDS, ""),), daemon=True).start()


def _import(kinds: str) -> None:
    for kind in filter(None, kinds.split(",")):
        # What cannot be imported is told by the step that needs it.
        try:
            importlib.import_module(f"benchmark.steps.{kind}")
        except Exception:
            return
