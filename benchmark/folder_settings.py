"""Settings that libraries would read from the folder a command is called in, which may be anybody's."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

#: Modules that read a file of the working directory, the file, and the variable that names it, where there is one.
_READ_BY = {"matplotlib": ("matplotlibrc", None), "numba.core.config": (".numba_config.yaml", "_config_fname")}


def ignore_folder_settings() -> None:
    """Neither run nor obey what the working directory has for libraries, in this process and those that it starts.

    Processes would look for modules in their working directory first. matplotlib imports what its settings name as a
    backend, numba loads what lies in the cache that they name.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    if any(os.path.lexists(file) for file, _ in _READ_BY.values()):
        sys.meta_path.insert(0, _Elsewhere())


class _Elsewhere(MetaPathFinder, Loader):
    """Imports these modules as if in the folder where they are installed."""

    def __init__(self) -> None:
        self._loaders: dict[str, Loader] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec, with its loader wrapped."""
        del target
        if fullname not in _READ_BY or fullname in self._loaders:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return None
        self._loaders[fullname], spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        return self._loaders[spec.name].create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader does, but for the working directory."""
        assert module.__file__ is not None
        here, home = Path.cwd(), Path(module.__file__).parent
        loader = self._loaders[module.__name__]
        module.__loader__ = loader
        if module.__spec__ is not None:
            module.__spec__.loader = loader
        os.chdir(home)
        try:
            loader.exec_module(module)
        finally:
            os.chdir(here)
        file, variable = _READ_BY[module.__name__]
        if variable is not None:
            setattr(module, variable, str(home / file))
