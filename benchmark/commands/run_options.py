"""What `bench run` is asked: its options, and what they ask of a planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.commands.common import DataOption, JsonOption, RegistryOption, StoreOption
from benchmark.commands.factors import (
    ArgumentsOption,
    CorporaOption,
    Departures,
    EncodersOption,
    ProtocolsOption,
    RecipeOptions,
    RecipesOption,
    SampleRateOption,
    SeedsOption,
    TasksOption,
    ThenOption,
    levels_of,
    options_of,
)

if TYPE_CHECKING:
    from benchmark.plan.requests import Request
    from benchmark.plan.studies import Study


@dataclass(frozen=True)
class RunOptions:
    """Options of `bench run`, in the order of its help."""

    encoder: EncodersOption = None
    task: TasksOption = None
    study: Annotated[
        str | None,
        typer.Option(help="Study file, or the name of one that ships with bench, instead of the options above."),
    ] = None
    recipe: RecipesOption = None
    then: ThenOption = None
    corpus: CorporaOption = None
    protocol: ProtocolsOption = None
    seed: SeedsOption = None
    data: DataOption = None
    store_path: StoreOption = None
    registry_files: RegistryOption = None
    changes: RecipeOptions = field(default_factory=RecipeOptions)
    sample_rate: SampleRateOption = None
    argument: ArgumentsOption = None
    probe_every: Annotated[
        int | None,
        typer.Option(help="While pretraining, score validation clips every so many epochs.", min=1, metavar="N"),
    ] = None
    devices: Annotated[
        int | None, typer.Option(help="GPUs that one training spreads over.", show_default="all visible", min=1)
    ] = None
    precision: Annotated[
        str | None, typer.Option(help="32-true or bf16-mixed.", show_default="bfloat16 where the device has it")
    ] = None
    corpus_in: Annotated[
        str | None,
        typer.Option(help="Keep the corpus in `device` memory, or `stream` it.", show_default="device, if it fits"),
    ] = None
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder for TensorBoard's event files of trainings.", metavar="DIR")
    ] = None
    departures: Departures = field(default_factory=Departures)  # type: ignore[valid-type]
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Score the test clips that can be read; the record says how many.")
    ] = False
    allow_overlap: Annotated[
        bool,
        typer.Option(
            "--allow-overlap", help="Test encoders on clips whose labels they were trained on; the record says so."
        ),
    ] = False
    jobs: Annotated[
        int | None,
        typer.Option(help="Worker processes on this machine.", show_default="one a GPU, else none", min=1),
    ] = None
    cluster: Annotated[
        str | None, typer.Option(help="Dask scheduler to compute on, or `slurm`.", metavar="tls://HOST:PORT")
    ] = None
    config: Annotated[
        Path | None, typer.Option(help="Options of dask-jobqueue for --cluster slurm, as YAML.", metavar="FILE")
    ] = None
    force: Annotated[
        bool,
        typer.Option("--force", help="Compute again what the store holds of these runs, but for trained weights."),
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and do nothing.")] = False
    as_json: JsonOption = False

    def chosen_study(self) -> Study | None:
        """The study that ``--study`` names.

        Raises
        ------
        UserError
            If there is none of that name, or another option says what a study says itself.
        """
        from benchmark.plan.studies import load_study

        if self.study is None:
            return None
        self._leave_to_the_study()
        return load_study(self.study)

    def requests(self, study: Study | None) -> Sequence[Request]:
        """What is asked of a planner: what `study` says, or else these options.

        Raises
        ------
        UserError
            If nothing is asked for, or an option has a value that it cannot have.
        """
        from benchmark.errors import UserError
        from benchmark.plan.requests import Request, grid
        from benchmark.registry.overrides import parse_settings

        training = self.training()
        if study is not None:
            return study.requests(self.allow_missing, training, self.allow_overlap)
        if not (self.encoder and self.task):
            raise UserError(
                "say what to run: --encoder NAME --task NAME, or --study FILE; `bench list` shows the names, "
                "e.g. bench run --encoder tune_plus --task mtt"
            )
        return [
            Request(
                grid(
                    encoder=self.encoder,
                    task=self.task,
                    recipe=self.recipe,
                    corpus=self.corpus,
                    protocol=self.protocol,
                    seed=self.seed,
                    sample_rate=self.sample_rate,
                    arguments=parse_settings(self.argument or [], "--arg"),
                    settings=self.changes.overrides(),
                    **levels_of(self.departures),
                ),
                self.allow_missing,
                self.probe_every,
                training,
                self.allow_overlap,
            )
        ]

    def training(self) -> dict[str, Any]:
        """How to train, as the context of a step has it.

        Raises
        ------
        UserError
            If an option is none of the words that it may be.
        """
        from benchmark.errors import UserError

        for option, value, known in (
            ("--precision", self.precision, ("32-true", "bf16-mixed")),
            ("--corpus-in", self.corpus_in, ("device", "stream")),
        ):
            if value is not None and value not in known:
                raise UserError(f"{option} {value}: must be {' or '.join(known)}")
        folder = None if self.tensorboard is None else self.tensorboard.absolute()
        given = {
            "devices": self.devices,
            "precision": self.precision,
            "residence": self.corpus_in,
            "tensorboard": folder,
        }
        return {name: value for name, value in given.items() if value is not None}

    def _leave_to_the_study(self) -> None:
        """Refuse options that a study file says itself; they would otherwise be ignored."""
        from benchmark.errors import UserError

        factors = ("encoder", "task", "corpus", "recipe", "then", "protocol", "seed")
        values = {name: getattr(self, name) for name in factors}
        values |= vars(self.departures)
        values |= {
            "set": self.changes.setting,
            "sample_rate": self.sample_rate,
            "arg": self.argument,
            "probe_every": self.probe_every,
            **self.changes.numbers(),
        }
        given = [option for option, value in options_of(values).items() if value]
        if given:
            raise UserError(
                f"--study says what to run; leave out {' and '.join(given)}, or write it into a copy of the file"
            )
