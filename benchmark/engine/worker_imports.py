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

#: Environment variable with modules of other people that the steps to come import, separated by commas.
MODULES = "BENCH_MODULES"


def dask_setup(worker: Any) -> None:
    """Called by Dask as a worker starts: the imports go on beside it, in a thread that ends with it."""
    del worker
    ignore_folder_settings()
    threading.Thread(target=_import, args=(os.environ.get(MODULES, ""),), daemon=True).start()


def _import(modules: str) -> None:
    for module in filter(None, modules.split(",")):
        # What cannot be imported is told by the step that needs it.
        try:
            importlib.import_module(module)
        except Exception:
            return
