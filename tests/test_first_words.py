"""What a newcomer meets: examples in every help, and names that the shell completes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer

from cli import app

COMPLETED = """
import atexit, sys
atexit.register(lambda: print("torch" in sys.modules, file=sys.stderr))
from cli import app
app(prog_name="bench")
"""


def commands(command, *words) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command that does something, with its words."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *words, name)
    if not hasattr(command, "commands"):
        yield words, command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_that_it_understands(words):
    examples = re.findall(r"Example: (bench .*)", COMMANDS[words].help)
    assert examples
    for example in examples:
        given = shlex.split(example)
        assert tuple(given[1 : 1 + len(words)]) == words
        context = COMMANDS[words].make_context(" ".join(words), given[1 + len(words) :])
        assert context.params


def complete(shell, line, folder):
    """What a shell is offered for a line, and whether torch was imported for it."""
    words = line.split(" ")
    environment = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    result = subprocess.run(
        [sys.executable, "-c", COMPLETED],
        env={**os.environ, **environment, "_BENCH_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    return result.stdout, result.stderr.strip()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_names_of_the_registry_without_torch(shell, tmp_path):
    found, torch = complete(shell, "bench rep", tmp_path)
    assert re.findall(r"\brep\w+", found)[0] == "report"
    assert torch == "False"
    found, torch = complete(shell, "bench run --encoder tune_tail_", tmp_path)
    names = re.findall(r'^(?:_arguments.*\(\(|)"?(tune_tail_\d)"?', found, re.M)
    assert names == [f"tune_tail_{number}" for number in range(1, 6)]
    assert torch == "False"


def test_a_broken_registry_completes_nothing_and_says_nothing(tmp_path):
    (tmp_path / "registry.yaml").write_text("encoders: [")
    found, torch = complete("bash", "bench run --task m", tmp_path)
    assert (found.strip(), torch) == ("", "False")
