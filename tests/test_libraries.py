"""A library that cannot be loaded is named where it is used, and takes nothing else down."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from broken_library import KINDS, bench_with, break_library
from conftest import TINY_REGISTRY, bench_json

from benchmark import libraries
from benchmark.errors import UserError
from benchmark.libraries import LIBRARIES, Library, fault_behind, library_errors, mending, requirement

ROOT = Path(__file__).parents[1]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that libraries are imported from, among which the table holds `outer`, of our own code too."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(LIBRARIES, "outer", Library("outer", "outer-dist", "tests", ("outer",)))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in {"outer", "inner", "theirs"}]:
        del sys.modules[name]


def module(folder, name, text=""):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)


def run_as(package, code):
    """Run code as if it stood in a module of a package."""
    exec(compile(code, f"{package}.py", "exec"), {"__name__": f"{package}.part"})


def fault_of(code, package="benchmark"):
    with pytest.raises(Exception) as caught:
        run_as(package, code)
    return fault_behind(caught.value)


STATEMENTS = [
    "import outer",
    "import outer.part",
    "from outer import part",
    "__import__('importlib').import_module('outer')",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("statement", STATEMENTS)
def test_however_a_library_is_broken_and_imported_it_is_blamed(place, kind, statement):
    break_library(place, "outer", kind)
    found = fault_of(statement)
    assert found is not None
    assert (found.module, found.missing) == ("outer", False)
    if kind != "missing":
        assert KINDS[kind][1] in str(found)
    assert f"outer-dist cannot be loaded (needed for tests): {found.reason}; mend it with: pip install" in str(found)
    assert str(found).endswith("and look again with: bench doctor")
    assert "\n" not in str(found)


def test_a_library_that_is_not_there_is_to_be_installed(place):
    found = fault_of("import outer")
    assert str(found).startswith(
        "outer-dist is not installed (needed for tests); mend it with: pip install 'outer-dist',"
    )


@pytest.mark.parametrize(
    ("outer", "statement", "reason"),
    [
        ("", "from outer import gone", "cannot import name 'gone' from 'outer'"),
        ("", "import outer; outer.gone", "module 'outer' has no attribute 'gone'"),
        ("from outer import compiled", "import outer", "cannot import name 'compiled'"),
        ("import outer.compiled", "import outer", "No module named 'outer.compiled'"),
        ("try:\n  1 / 0\nexcept ArithmeticError as e:\n  raise ImportError('see below') from e", "import outer",
         "ZeroDivisionError: division by zero"),
        ("try:\n  import inner\nexcept ImportError as e:\n  raise ImportError('see above') from e", "import outer",
         "No module named 'inner'"),
        ("def __getattr__(name):\n  raise RuntimeError('not now')", "import outer; outer.part", "not now"),
    ],
)  # fmt: skip
def test_a_library_of_another_version_is_blamed(place, outer, statement, reason):
    module(place, "outer", outer)
    found = fault_of(statement)
    blamed = "inner" if "inner" in outer else "outer"
    assert (found.module, found.wanted.module, found.for_us, reason in found.reason) == (blamed, "outer", True, True)


@pytest.fixture(scope="module")
def installed():
    """What is installed by which name, read once; it takes seconds."""
    found = importlib.metadata.packages_distributions()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "packages_distributions", lambda: found)
        yield


@pytest.mark.parametrize("inner", [None, "raise OSError('libinner.so')"])
def test_what_a_library_rests_on_is_blamed_itself(place, installed, inner):
    module(place, "outer", "import outer.deep")
    (place / "outer" / "deep.py").write_text("import inner")
    if inner:
        module(place, "inner", inner)
    found = fault_of("import outer")
    assert (found.module, found.wanted.module, found.missing) == ("inner", "outer", inner is None)
    state = "inner is not installed" if inner is None else "inner cannot be loaded"
    assert str(found).startswith(f"{state} (needed by outer-dist for tests)")


@pytest.mark.parametrize(
    ("package", "code"),
    [
        ("benchmark", "1 / 0"),
        ("benchmark", "import outer; outer.fail()"),
        ("benchmark", "import benchmark.no_such_module"),
        ("benchmark", "import a_library_nobody_knows"),
        ("benchmark", "import theirs"),
        ("theirs", "import outer; outer.gone"),
        ("theirs", "from outer import gone"),
        ("benchmark", "import json; json.gone"),
    ],
)
def test_our_own_faults_and_the_users_are_no_library_s(place, package, code):
    module(place, "outer", "def fail():\n  raise ValueError('used wrongly')")
    module(place, "theirs", "raise RuntimeError('their own fault')")
    assert fault_of(code, package) is None
    with pytest.raises(Exception) as caught, library_errors():
        run_as(package, code)
    assert not isinstance(caught.value, UserError)


def test_a_users_module_that_imports_a_broken_library_is_not_to_blame(place):
    break_library(place, "outer", "system")
    module(place, "theirs", "import outer")
    found = fault_of("import theirs")
    assert str(found).startswith("outer-dist cannot be loaded: OSError: libit.so")  # nobody knows what they need it for


def test_a_file_that_hides_an_installed_library_is_named(place, monkeypatch):
    break_library(place, "soxr", "other")
    monkeypatch.delitem(sys.modules, "soxr", raising=False)
    found = fault_of("import soxr")
    assert f"(in {place}/soxr/__init__.py, which hides the installed one)" in found.reason
    sys.modules.pop("soxr", None)


@pytest.mark.parametrize(
    ("torch", "command"),
    [
        ("2.11.0+cu130", "pip install --force-reinstall --no-deps torchaudio==2.11.0"),
        ("2.12.1", "pip install --upgrade 'torch>=2.13' 'torchaudio>=2.11.1'"),
        ("2.14.1", "pip install --force-reinstall --no-deps 'torchaudio>=2.11.1'"),
    ],
)
def test_torchaudio_is_mended_by_the_version_that_loads_beside_torch(monkeypatch, torch, command):
    monkeypatch.setattr(libraries, "version_of", lambda distribution: torch)
    assert mending("torchaudio", missing=False) == command


def test_the_table_holds_what_is_asked_for_and_what_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {requirement_name(line): "" for line in project["dependencies"]}
    for extra in ("tensorboard", "cluster", "huggingface", "onnx", "pesto", "speed", "bayes"):
        asked |= {requirement_name(line): extra for line in project["optional-dependencies"][extra]}
    # Only tests compare with the first; seaborn brings the second, which is used directly.
    asked.pop("mir-eval", None)
    held = {requirement_name(library.distribution): library.extra for library in LIBRARIES.values()}
    assert held == {**asked, "matplotlib": ""}
    assert re.fullmatch(r"soxr[<>=,\d.]+", requirement("soxr"))
    assert mending("dask_jobqueue", missing=True) == "pip install 'bench-music[cluster]'"
    assert mending("dask", missing=False).startswith("pip install --force-reinstall --no-deps 'dask>=")


def requirement_name(line):
    return re.match(r"[\w.-]+", line)[0].lower().replace("_", "-")


#: What a run of an encoder that does not learn, at the rate of its files, does without.
SPARED = ("soxr", "lightning", "dask", "distributed", "dask_jobqueue", "transformers", "tensorboard", "torchaudio")
SPARED += ("pandas", "matplotlib", "seaborn", "statsmodels", "librosa", "pooch", "jinja2")


@pytest.mark.slow
def test_a_run_does_without_all_that_it_does_not_use(tmp_path, mtt):
    kinds = [*KINDS] * len(SPARED)
    for name, kind in zip(SPARED, kinds, strict=False):
        break_library(tmp_path / "broken", name, kind)
    arguments = ["run", "--encoder", "mfcc", "--encoder", "random", "--task", "mtt", "--sample-rate", 16_000]
    arguments += ["--data", mtt[0], "--allow-missing"]
    result = bench_with(tmp_path / "broken", *arguments, "--store", tmp_path / "store", "--json")
    assert result.returncode == 0, result.stderr
    said = [line for line in result.stderr.splitlines() if "torchaudio" in line]
    assert len(said) == 1
    assert said[0].startswith("torchaudio cannot be loaded (")
    found = {record["encoder"]: record["metrics"] for record in json.loads(result.stdout)}
    usual = {record["encoder"]: record["metrics"] for record in bench_json(*arguments, "--store", tmp_path / "usual")}
    assert found == usual

    # What is cached needs no decoder and no torch, and tables need nothing that draws.
    for name in ("soundfile", "torch", "sklearn", "safetensors"):
        break_library(tmp_path / "broken", name, "system")
    again = bench_with(tmp_path / "broken", *arguments, "--store", tmp_path / "store", "--json")
    assert (again.returncode, again.stdout) == (0, result.stdout), again.stderr
    listed = bench_with(tmp_path / "broken", "list")
    assert (listed.returncode, "tune_plus" in listed.stdout) == (0, True), listed.stderr


HUB = (
    "{class: 'encoders.adapters.huggingface:HuggingFaceEncoder', args: {model: m}, sample_rate: 16000, pretrain: false}"
)
RUN = ("run", "--task", "mtt", "--data", "DATA", "--store", "STORE", "--registry", "REGISTRY", "--allow-missing")
FAILING = {
    "soxr": ("system", [*RUN, "--encoder", "mfcc"], "resampling audio"),
    "soundfile": ("import", [*RUN, "--encoder", "mfcc"], "decoding and writing audio"),
    "lightning": ("other", [*RUN, "--encoder", "tiny", "--recipe", "short"], "pretraining and supervised training"),
    "distributed": ("syntax", [*RUN, "--encoder", "random", "--jobs", "2"], "--jobs and --cluster"),
    "transformers": ("import", ["check", "hub", "--registry", "REGISTRY"], "encoders of Hugging Face"),
    "librosa": ("system", ["speed", "decode", "--repeats", "1"], "`bench speed decode`"),
    "statsmodels": ("other", ["speed", "analysis", "--bootstrap", "2"], "`bench speed analysis`"),
    "pandas": ("zeros", ["analyze", "TABLE", "--factor", "encoder", "--output", "STORE"], "tables of scores"),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_uses_a_broken_library_says_so_in_a_line(tmp_path, mtt, name):
    kind, words, purpose = FAILING[name]
    break_library(tmp_path / "broken", name, kind)
    (tmp_path / "registry.yaml").write_text(TINY_REGISTRY.replace("recipes:", f"  hub: {HUB}\nrecipes:"))
    (tmp_path / "table.csv").write_text("encoder,task,score\na,t,0.1\nb,t,0.2\n")
    places = {"DATA": mtt[0], "STORE": tmp_path / "store", "TABLE": tmp_path / "table.csv"}
    places["REGISTRY"] = tmp_path / "registry.yaml"
    result = bench_with(tmp_path / "broken", *(places.get(word, word) for word in words))
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "cannot be loaded" in line]
    distribution = LIBRARIES[name].distribution
    assert re.search(rf"\b{distribution} [\d.]+ cannot be loaded \(needed for {purpose}\): ", line)
    assert KINDS[kind][1] in line
    assert f"mend it with: pip install --force-reinstall --no-deps '{requirement(distribution)}'" in line
    assert "look again with: bench doctor" in line


def test_without_dask_only_one_of_several_gpus_is_used(monkeypatch):
    import torch

    from benchmark.console import Silent
    from benchmark.engine import execution
    from benchmark.steps import pretrain

    said = []
    monkeypatch.setattr(Silent, "say", lambda self, text: said.append(text))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(execution, "workers", lambda: 2)
    monkeypatch.setattr(execution, "unique_steps", lambda runs: [pretrain.KIND.step({"n": n}, {}, "") for n in (1, 2)])
    monkeypatch.setitem(sys.modules, "distributed", None)

    class Empty:
        def current(self, step):
            return None

    assert execution.sensible_jobs([], Empty(), Silent()) == 1
    assert said[0].startswith("only one GPU is used, for distributed")
