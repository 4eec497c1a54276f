"""Runs whose trainings last until something has befallen them, as long as that takes on a busy machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from conftest import TINY_REGISTRY
from warm_command import Started

#: Steps enough for trainings to be met in, whatever the machine; they take seconds once the encoder may go on.
PAIRS = 240


class Dawdling:
    """A registry whose encoder `dawdling` waits in training until it may go on."""

    def __init__(self, folder: Path, pairs: int = PAIRS) -> None:
        folder.mkdir()
        self.file = folder / "registry.yaml"
        entry = 'encoders:\n  dawdling: {class: "dawdling_encoder:DawdlingEncoder"}\n'
        text = TINY_REGISTRY.replace("encoders:\n", entry, 1).replace("pairs: 24", f"pairs: {pairs}")
        self.file.write_text(text)
        shutil.copy(Path(__file__).with_name("dawdling_encoder.py"), folder)
        self._go = folder / "go"

    def go(self) -> None:
        """Let trainings end, those to come too."""
        self._go.touch()

    def dawdle(self) -> None:
        """Let trainings wait again."""
        self._go.unlink()


class Run(Started):
    """A `bench run` under way."""

    def __init__(self, folder: Path, *arguments: object, environment: dict[str, str] | None = None) -> None:
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        super().__init__(["run", *arguments], self._out, self._err, environment=environment)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()


def saved(store: Path) -> list[Path]:
    """States of trainings under way that were saved: what there is to lose."""
    return list(store.glob("unfinished/pretrain-*/last.ckpt"))
