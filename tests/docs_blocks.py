"""Code blocks of the documentation: found, held against the real command line, and carried out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
import warm_command
import yaml

import cli
from benchmark.factors import AS_GIVEN, UNTRAINED
from benchmark.plan.studies import SHIPPED, load_study
from benchmark.registry.registry import SECTIONS, Registry, built_in_registry, load_registry

ROOT = Path(__file__).parent.parent
#: Options whose values are names of entries.
_NAMES = {"encoder": "encoders", "task": "tasks", "recipe": "recipes", "protocol": "protocols"}
_OPERATORS = {"&&", "||", ";", "|", "&"}


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, what it is, and its text without the indentation of its fence."""

    page: str
    line: int
    language: str
    title: str
    run: bool
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(text: str, page: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    found, lines = [], iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        opening = re.match(r"( *)(`{3,}) *(\w*) *(.*)$", line)
        if not opening:
            continue
        indent, fence, language, options = opening.groups()
        content = []
        for _, inner in lines:
            if re.match(rf" *{fence}`* *$", inner):
                break
            content.append(inner.removeprefix(indent))
        else:
            raise AssertionError(f"{page}:{number}: this block never ends")
        title = re.search(r'title="([^"]+)"', options)
        ends = "".join(each + "\n" for each in content)
        found.append(Block(page, number, language, title[1] if title else "", "norun" not in options, ends))
    return found


def indented_commands(text: str, page: str) -> list[Block]:
    """Lines that show a command by their indentation, outside fences."""
    outside = re.sub(r"^( *)(`{3,})[^`\n]*\n.*?^ *\2 *$", lambda m: "\n" * m[0].count("\n"), text, flags=re.M | re.S)
    return [
        Block(page, number, "bash", "", False, found[1] + "\n")
        for number, line in enumerate(outside.splitlines(), 1)
        if (found := re.match(r" {4,}((?:\S*/)?bench .*)$", line))
    ]


def lines_of(script: str) -> list[str]:
    """Logical lines of a shell script, without blank ones and those that are only a comment."""
    joined = re.sub(r"\\\n\s*", " ", script)
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def calls_of_bench(line: str) -> Iterator[list[str]]:
    """Arguments of every `bench` in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    call: list[str] = []
    words = iter([*lexer, ";"])
    for word in words:
        if set(word) <= set("<>"):
            next(words)
        elif word in _OPERATORS or set(word) <= set("()"):
            while call and re.fullmatch(r"\w+=.*", call[0]):
                call.pop(0)
            if call and Path(call[0]).name == "bench":
                yield call[1:]
            call = []
        else:
            call.append(word)


def problem_with(arguments: list[str], own: Collection[str] = ()) -> str | None:
    """What is wrong with the arguments of `bench`, as far as it can be said without running it.

    Parameters
    ----------
    arguments
        Words after `bench`; ``...`` stands for any others.
    own
        Names of entries that the page itself defines.
    """
    words = [word for word in arguments if word != "..."]
    command = _command_line()
    names = ["bench"]
    context = None
    while words and isinstance(getattr(command, "commands", None), dict) and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return f"`{' '.join(names)}` has no command {name!r}"
        names.append(name)
        command = command.commands[name]
    try:
        context = command.make_context(" ".join(names), list(words))
    except Exception as error:  # click's own exceptions may come from a copy of it inside typer
        if type(error).__name__ == "Exit":  # --help
            return None
        if type(error).__name__ == "MissingParameter" and "..." in arguments:
            return None
        message = error.format_message() if hasattr(error, "format_message") else repr(error)
        return f"`bench {' '.join(arguments)}`: {message}"
    if context.command.name == "new":
        return None
    registry = _built_in()
    for option, section in _NAMES.items():
        values = context.params.get(option) or ()
        for value in values if isinstance(values, list | tuple) else (values,):
            for name in value.split("+"):
                if name not in {*registry.sections[section], *own, UNTRAINED, AS_GIVEN} and not name.isupper():
                    return f"`bench {' '.join(arguments)}`: there is no {option} {name!r}"
    study = context.params.get("study")
    shipped = {file.stem for file in SHIPPED.glob("*.yaml")}
    if study is not None and not (study in shipped or study.endswith(".yaml") or study.isupper()):
        return f"`bench {' '.join(arguments)}`: there is no study {study!r}"
    return None


@cache
def _command_line() -> Any:
    return typer.main.get_command(cli.app)


@cache
def _built_in() -> Registry:
    registry = Registry()
    registry.add_file(built_in_registry())
    return registry


def names_of(found: list[Block]) -> set[str]:
    """Names that the blocks of a page define: entries of registries, imported and new encoders, new tasks."""
    names = set()
    for block in found:
        if block.language == "yaml":
            document = yaml.safe_load(block.text)
            for section in SECTIONS.keys() & (document if isinstance(document, dict) else {}):
                names |= set(document[section])
        if block.language == "bash":
            names |= set(re.findall(r"(?:--as|new encoder|new task) (\w+)", block.text))
    return names


def problem_with_yaml(block: Block, folder: Path) -> str | None:
    """What the reader of a YAML file says against a block, in an empty folder."""
    file = folder / (Path(block.title).name or "block.yaml")
    file.write_text(block.text)
    try:
        if file.name.startswith("study"):
            load_study(str(file))
        elif SECTIONS.keys() & yaml.safe_load(block.text).keys():
            for line in load_registry([file]).untold():
                return f"{block}: {line}"
        elif file.name.startswith("registry"):
            return f"{block}: a registry has sections: {', '.join(SECTIONS)}"
    except Exception as error:
        return f"{block}: {error}"
    return None


class Sandbox:
    """A reader's shell: a folder and an environment, which last from block to block.

    Parameters
    ----------
    folder
        Where it begins.
    environment
        Variables it begins with.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def carry_out(self, block: Block) -> str:
        """Do what a reader does with a block; returns what the terminal showed.

        Raises
        ------
        AssertionError
            If a line of it fails.
        """
        if block.language == "bash":
            shown = ""
            for line in lines_of(block.text):
                begin = time.perf_counter()
                shown += self._line(line, block)
                print(f"{time.perf_counter() - begin:5.1f} s  {line}")
            return shown
        if block.title:
            (self.folder / block.title).write_text(block.text)
        elif block.language == "python":
            return self._shell(f"{sys.executable} - <<'END'\n{block.text}END\n", block)
        return ""

    def _line(self, line: str, block: Block) -> str:
        words = shlex.split(line, comments=True)
        if words[0] == "bench" and not re.search(r"[$*?|&;<>(){}]", line):
            code, out, err = warm_command.call(words[1:], str(self.folder), self.environment, 120)
            assert code == 0, f"{block}: `{line}` ended with exit code {code}:\n{out}{err}"
            return out + err
        return self._shell(line, block)

    def _shell(self, script: str, block: Block) -> str:
        # The shell of the next line begins where this one ended.
        state = self.folder / ".state"
        tail = f"\npwd > {shlex.quote(str(state))}; env -0 >> {shlex.quote(str(state))}\n"
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script + tail],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        shown = done.stdout + done.stderr
        assert done.returncode == 0, f"{block}: `{script}` ended with exit code {done.returncode}:\n{shown}"
        where, _, variables = state.read_text().partition("\n")
        state.unlink()
        self.folder = Path(where)
        self.environment = dict(each.split("=", 1) for each in variables.split("\0") if "=" in each)
        return shown


def missing_lines(promised: str, shown: str) -> list[str]:
    """Lines that a page promises and the terminal did not show; numbers, keys and widths may differ, ``...`` is any."""
    found = {_shape(line) for line in shown.splitlines()}
    wanted = [line for line in promised.splitlines() if line.strip() and line.strip() != "..."]
    patterns = [re.sub(r"(\\ )?\\\.\\\.\\\.", ".*", re.escape(_shape(line))) for line in wanted]
    return [
        line
        for line, pattern in zip(wanted, patterns, strict=True)
        if not any(re.fullmatch(pattern, each) for each in found)
    ]


def _shape(line: str) -> str:
    line = re.sub(r"\b(?=\w*\d)[0-9a-f]{7,}\b", "#", line)
    line = re.sub(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?", "#", line)
    line = re.sub(r"# [kMG]?B\b", "# B", line)
    return " ".join(line.split())


def environment_of(folder: Path, store: Path) -> dict[str, str]:
    """Variables of a reader's shell, with a home and a store of their own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BENCH_")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": programs, "HOME": str(folder), "BENCH_STORE": str(store)}
