"""Options that say which weights an encoder is used with: of a training in the store, of a file, or random ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.commands.common import store_folder
from benchmark.commands.factors import name_option

if TYPE_CHECKING:
    from benchmark.console import Reporter
    from benchmark.registry.entries import EncoderEntry
    from benchmark.registry.registry import Named

TrainedByOption = Annotated[
    str | None, name_option("recipes", "Recipe that trained it, of those in the store.", "the only one")
]
TrainedOnOption = Annotated[
    str | None,
    name_option("corpora", "Corpus, folder or task that it was trained on.", "the only one", "NAME|DIR"),
]
TrainedWithOption = Annotated[
    int | None, typer.Option(help="Seed of its training, or of random weights.", show_default="the lowest", min=0)
]
ChangesOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Number of the recipe that was replaced; may be repeated.", metavar="KEY=VALUE"),
]
WeightsFileOption = Annotated[
    Path | None, typer.Option(help="A file of weights instead of those of the store.", metavar="FILE")
]
UntrainedOption = Annotated[bool, typer.Option("--untrained", help="Use random weights of the seed.")]


@dataclass(frozen=True)
class ChosenWeights:
    """Weights of an encoder.

    Attributes
    ----------
    file
        Where they are; ``None`` of an encoder that has none, or random ones.
    words
        What they are, in a line.
    training
        Folder of the training that left them, if one of the store did.
    """

    file: Path | None
    words: str
    training: Path | None = None


@dataclass(frozen=True)
class WeightsOptions:
    """The values of these options."""

    recipe: str | None = None
    corpus: str | None = None
    seed: int | None = None
    changes: list[str] | None = None
    weights: Path | None = None
    untrained: bool = False
    store_path: Path | None = None

    def chosen(self, named: Named[EncoderEntry], reporter: Reporter) -> ChosenWeights:
        """The weights that are meant.

        Raises
        ------
        UserError
            If options contradict one another, there are no such weights, or several trainings are meant.
        """
        from benchmark.plan.trained_weights import Wanted, find_trained
        from benchmark.registry.overrides import parse_settings
        from benchmark.registry.published import weights_file

        self._check(named)
        if self.weights is not None:
            return ChosenWeights(self.weights, f"the file {self.weights.name}")
        if not named.entry.learns:
            if (file := weights_file(named)) is not None:
                return ChosenWeights(file, f"the file {file.name}")
            return ChosenWeights(None, f"random, of seed {self.seed or 0}" if named.entry.seeded else "none are learnt")
        if self.untrained:
            reporter.warn(f"{named.name} is UNTRAINED: random weights of seed {self.seed or 0}")
            return ChosenWeights(None, f"random, of seed {self.seed or 0}")
        wanted = Wanted(self.recipe, parse_settings(self.changes or []), self.corpus, self.seed)
        found = find_trained(store_folder(self.store_path), named, wanted, reporter)
        return ChosenWeights(found.file, found.in_words(), found.artifact.path)

    def _check(self, named: Named[EncoderEntry]) -> None:
        from benchmark.errors import UserError

        of_training = {"--recipe": self.recipe, "--corpus": self.corpus, "--set": self.changes}
        given = [option for option, value in of_training.items() if value]
        if not named.entry.learns and (given or self.untrained):
            option = given[0] if given else "--untrained"
            raise UserError(f"encoder {named.name} is used as it is, and no recipe trains it; leave out {option}")
        others = [*given[:1], *(["--untrained"] if self.untrained else []), *(["--weights"] if self.weights else [])]
        if len(others) > 1:
            raise UserError(f"{others[0]} and {others[1]} name different weights; leave out one")
