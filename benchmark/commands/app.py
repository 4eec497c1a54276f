"""A command line all of whose words take `--quiet` and `--verbose`, and whose mistakes are told in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from benchmark.commands.option_groups import arguments_of, parameters_of
from benchmark.console import Level, Reporter, choose_level, chosen_level, printable, writing_to

#: What typer raises for a wrong command line, be it click's or, in later versions, its own.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show warnings and errors alone: no progress, no remarks.")
]
_VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show also what was read, what was cached, computed or raised, and how.")
]
_LEVELS = {"quiet": _QuietOption, "verbose": _VerboseOption}


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True  # so that it is told here
        with _parsing(ctx):
            rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            raise _wrong(ctx, f"{rest[0]!r} is one word too many for {ctx.command_path}", "says what it takes")
        return rest


class _Group(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _parsing(ctx):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            from benchmark.errors import names_instead

            instead = names_instead(args[0], self.list_commands(ctx), f"{ctx.command_path} --help")
            raise _wrong(ctx, f"no command {args[0]!r} for {ctx.command_path}.{instead}")
        return super().resolve_command(ctx, args)


@contextmanager
def _parsing(context: Any) -> Iterator[None]:
    """Let mistakes know their command, which some versions of typer forget; what is printed meanwhile is a help."""
    try:
        with writing_to(sys.stdout, "standard output"):
            yield
    except UsageError as error:
        vars(error)["ctx"] = getattr(error, "ctx", None) or context
        raise


class App(typer.Typer):
    """A group of commands, as typer has it; every command takes `--quiet` and `--verbose` too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            cls=_Group,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            **options,
        )

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Make a function a command."""
        return self._registered(super().command(name, cls=_Command, **options))

    def callback(self, **options: Any) -> Callable[[Any], Any]:
        """Make a function what runs before every command of the group."""
        return self._registered(super().callback(**options))

    @staticmethod
    def _registered(register: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def take(function: Any) -> Any:
            register(_with_levels(function))
            return function

        return take


def _with_levels(function: Callable[..., None]) -> Callable[..., None]:
    """The function of a command, its groups of options spread, with two more options, which say how much is told."""

    @wraps(function)
    def told(*, quiet: bool, verbose: bool, **options: Any) -> None:
        _choose(quiet, verbose)
        function(**arguments_of(function, options))

    added = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=option) for name, option in _LEVELS.items()
    ]
    parameters = [*parameters_of(function), *added]
    # Typer reads both.
    told.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    told.__annotations__ = {each.name: each.annotation for each in parameters}
    return told


def _choose(quiet: bool, verbose: bool) -> None:
    """Set how much is told, which a word before this one may have done."""
    from benchmark.errors import UserError

    chosen = {chosen_level(), *[Level.QUIET] * quiet, *[Level.VERBOSE] * verbose}
    if {Level.QUIET, Level.VERBOSE} <= chosen:
        raise UserError("give either --quiet or --verbose: one says less, the other more")
    if verbose and chosen_level() != Level.VERBOSE:
        from benchmark.environment import versions

        choose_level(Level.VERBOSE)
        Reporter().detail(", ".join(f"{name} {version}" for name, version in versions().items()))
    choose_level(Level.QUIET if Level.QUIET in chosen else max(chosen))


def need_command(context: typer.Context) -> None:
    """Raise `UserError`, which lists the commands of a group, if none is given."""
    if context.invoked_subcommand is None:
        group: Any = context.command
        names = ", ".join(sorted(group.list_commands(context)))
        raise _wrong(context, f"{context.command_path} needs a command: {names}", "explains them")


def in_one_line(error: Exception) -> str:
    """What is wrong with a command line, of which typer says: usage, an empty line, a hint, an empty line, and this."""
    context: Any = getattr(error, "ctx", None)
    message = str(getattr(error, "message", "") or error).removeprefix("Value error, ").rstrip(".")
    message = message[:1].lower() + message[1:]
    if context is None:
        return message
    path = context.command_path
    options = {name: each for each in context.command.get_params(context) for name in each.opts}
    option: str | None = getattr(error, "option_name", None)
    parameter: Any = getattr(error, "param", None)
    if option is not None and option not in options:
        from benchmark.errors import names_instead

        instead = names_instead(option, [name for name in options if name.startswith("-")], f"{path} --help")
        return f"no option {printable(option)} for {path}.{instead}"
    if option is not None:
        what = "takes no value" if getattr(options[option], "is_flag", False) else "needs a value"
        return str(_wrong(context, f"{option} of {path} {what}", "explains it"))
    if parameter is None:
        return str(_wrong(context, f"{path}: {message}", "explains it"))
    if type(error).__name__ == "MissingParameter":
        return str(_wrong(context, f"{path} needs {_shown(parameter)}", "explains it"))
    return str(_wrong(context, f"{_shown(parameter)} of {path}: {message}", "explains it"))


def _shown(parameter: Any) -> str:
    """An option or argument as its help shows it."""
    value = parameter.metavar or ""
    return f"{parameter.opts[0]} {value}".strip() if parameter.opts[0].startswith("-") else value or parameter.name


def _wrong(context: Any, what: str, help_does: str = "") -> Exception:
    from benchmark.errors import UserError

    return UserError(printable(f"{what}; `{context.command_path} --help` {help_does}" if help_does else what))
