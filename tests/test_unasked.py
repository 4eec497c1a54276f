"""A folder from elsewhere: what its registry adds is used where it is named, and nothing of it runs unasked."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from multiprocessing import get_context
from pathlib import Path

import pytest
import yaml
from conftest import bench, tone

from benchmark.errors import UserError
from benchmark.plan.origins import in_use
from benchmark.plan.requests import Request, grid
from benchmark.registry.plugins import load_class
from benchmark.registry.registry import SECTIONS, built_in_registry, load_registry

BENCH = Path(sys.executable).with_name("bench")
BUILT_IN = yaml.safe_load(built_in_registry().read_text())
#: Tells that it was imported, and serves as an encoder and as a dataset.
CODE = """\
open({ran!r}, "a").write(__name__ + "\\n")
import own_helper
from encoders.tune import TUNe
from tasks.gtzan import Gtzan as Data


class Enc(TUNe):
    def __init__(self):
        super().__init__(filters=2, contractive=2, expansive=2, tail=4, dim=16, window=6561)
"""
ADDED = {
    "encoders": {"own": {"class": "own_code:Enc"}},
    "datasets": {"own_data": {"class": "own_code:Data"}},
    "corpora": {"own_corpus": {"dataset": "own_data"}},
    "tasks": {"own_task": {**BUILT_IN["tasks"]["gtzan"], "dataset": "own_data"}},
    "recipes": {"own_recipe": BUILT_IN["recipes"]["demo"]},
    "protocols": {"own_protocol": BUILT_IN["protocols"]["linear"]},
}
REPLACING = {
    "encoders": {"tune_plus": {"class": "own_code:Enc"}, "mfcc": {"class": "own_code:Enc"}},
    "datasets": {"gtzan": {"class": "own_code:Data"}},
    "corpora": {"gtzan": {"dataset": "gtzan", "splits": ["test"]}},
    "tasks": {"gtzan": {**BUILT_IN["tasks"]["gtzan"], "metrics": ["macro_f1"]}},
    "recipes": {"demo": {**BUILT_IN["recipes"]["demo"], "batch": 2}},
    "protocols": {"linear": {**BUILT_IN["protocols"]["linear"], "batch": 2}},
}


@pytest.fixture
def folder(tmp_path):
    """Where commands are called; `ran` names the modules of it that were imported."""
    (tmp_path / "own_code.py").write_text(CODE.format(ran=str(tmp_path / "ran")))
    (tmp_path / "own_helper.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__ + '\\n')\n")
    return tmp_path


@pytest.fixture(autouse=True)
def _modules_of_this_test_alone():
    yield
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def write(folder: Path, registry: dict) -> Path:
    file = folder / "registry.yaml"
    file.write_text(yaml.safe_dump(registry, sort_keys=False))
    return file


def line_of(file: Path, section: str, name: str) -> int:
    lines = file.read_text().splitlines()
    return lines.index(f"  {name}:", lines.index(f"{section}:")) + 1


def ran(folder: Path) -> list[str]:
    return (folder / "ran").read_text().split() if (folder / "ran").exists() else []


USES = {
    "encoders": ["--encoder", "tune_plus", "--task", "gtzan"],
    "an encoder among joined ones": ["--encoder", "chroma+tune_plus", "--task", "gtzan"],
    "joined ones": ["--encoder", "chroma+random", "--task", "gtzan"],
    "tasks": ["--encoder", "chroma", "--task", "gtzan"],
    "datasets": ["--encoder", "chroma", "--task", "gtzan"],
    "the dataset of a corpus": ["--encoder", "tune_plus", "--task", "mtt", "--corpus", "gtzan"],
    "corpora": ["--encoder", "tune_plus", "--task", "mtt", "--corpus", "gtzan"],
    "recipes": ["--encoder", "tune_plus", "--task", "gtzan"],
    "protocols": ["--encoder", "chroma", "--task", "gtzan", "--protocol", "linear"],
    "a study": ["--study", "study.yaml"],
}


@pytest.mark.parametrize("what", USES)
def test_a_built_in_name_that_is_used_is_not_replaced_but_by_a_registry_that_is_named(folder, what):
    section = {
        "an encoder among joined ones": "encoders",
        "the dataset of a corpus": "datasets",
        "a study": "encoders",
        "joined ones": "encoders",
    }.get(what, what)
    joined = {"chroma+random": {"class": "own_code:Enc"}}
    file = write(folder, {section: joined if what == "joined ones" else REPLACING[section]})
    (folder / "study.yaml").write_text("name: s\ngrid: {encoder: [chroma, tune_plus], task: gtzan}\n")
    name = "tune_plus" if section == "encoders" else next(iter(REPLACING[section]))
    name, replaced = (
        ("chroma+random", "chroma and random joined") if what == "joined ones" else (name, "the built-in one")
    )
    result = bench("run", *USES[what], "--dry-run", "--store", "s", cwd=folder)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"bench: {file}:{line_of(file, section, name)}: {section}.{name}: would replace {replaced}, which a "
        "registry does only where it is named; rename it, or pass --registry .\n"
    )
    assert ran(folder) == []


OTHERS = {
    "list": ["list"],
    "a dataset": ["data", "status", "emomusic"],
    "all datasets": ["data", "status"],
    "a plan": ["run", "--encoder", "chroma", "--task", "emotion", "--dry-run", "--store", "s"],
    "a comparison": ["compare", "tune_plus", "chroma", "--store", "s"],
}


@pytest.mark.parametrize("what", OTHERS)
def test_where_it_is_not_used_the_built_in_one_stays_and_that_is_said_once(folder, what):
    registry = {section: {**ADDED.get(section, {}), **REPLACING[section]} for section in ("encoders", "datasets")}
    file = write(folder, registry)
    result = bench(*OTHERS[what], cwd=folder)
    assert result.returncode == (2 if what == "a comparison" else 0), result.stderr
    places = [("encoders", "tune_plus"), ("encoders", "mfcc"), ("datasets", "gtzan")]
    listed = ", ".join(f"{file}:{line_of(file, section, name)} {section}.{name}" for section, name in places)
    said = [line for line in result.stderr.splitlines() if "left out" in line]
    assert said == [
        f"left out, for a registry that is not named replaces nothing: {listed}; rename them, or pass --registry ."
    ]
    assert ran(folder) == []
    if what == "all datasets":
        assert "own_data: not looked at" in result.stdout
        assert "next: bench data status own_data" in result.stdout
        assert "gtzan: stand-in" in result.stdout


def test_a_registry_that_is_named_replaces_what_it_likes(folder, monkeypatch):
    file = write(folder, {"encoders": REPLACING["encoders"]})
    monkeypatch.chdir(folder)
    for named in (".", "registry.yaml", str(file)):
        assert load_registry([Path(named)]).encoder("tune_plus").file == file
    result = bench("check", "tune_plus", "--registry", ".", cwd=folder)
    assert result.stderr.splitlines()[:2] == [
        "not built in: encoder tune_plus (registry.yaml:2)",
        "imported from outside bench: own_code from own_code.py",
    ]
    assert ran(folder)[:2] == ["own_code", "own_helper"]


def test_what_is_not_built_in_is_said_in_one_line_before_it_is_imported(folder):
    file = write(folder, ADDED)
    at = {name: line_of(file, section, name) for section in ADDED for name in ADDED[section]}
    grid = ["--encoder", "own", "--encoder", "chroma", "--task", "own_task", "--corpus", "own_corpus"]
    grid += ["--recipe", "own_recipe", "--protocol", "own_protocol"]
    result = bench("run", *grid, "--dry-run", "--json", "--store", "s", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)
    assert result.stderr.splitlines()[:2] == [
        f"not built in: encoder own (registry.yaml:{at['own']}), recipe own_recipe (registry.yaml:{at['own_recipe']}), "
        f"task own_task (registry.yaml:{at['own_task']}), dataset own_data (registry.yaml:{at['own_data']}), "
        f"protocol own_protocol (registry.yaml:{at['own_protocol']}), "
        f"corpus own_corpus (registry.yaml:{at['own_corpus']})",
        "imported from outside bench: own_code from own_code.py",
    ]


@pytest.mark.parametrize("words", [["resources", "--encoder", "own"], ["data", "status", "own_data"], ["encode"]])
def test_every_command_says_it(folder, words):
    import soundfile

    write(folder, ADDED)
    if words == ["encode"]:
        soundfile.write(folder / "a.wav", tone(1.0, 22_050, 0), 22_050)
        words = ["encode", "a.wav", "--encoder", "own", "--untrained", "-o", "a.npz"]
    result = bench(*words, cwd=folder)
    assert result.returncode == 0, result.stderr
    first, second = result.stderr.splitlines()[:2]
    assert first.startswith("not built in: dataset own_data (" if "data" in words else "not built in: encoder own (")
    assert second == "imported from outside bench: own_code from own_code.py"


def test_resources_of_all_encoders_are_those_that_nobody_has_to_import(folder, monkeypatch, capsys):
    import benchmark.forecast.resources
    import cli

    write(folder, ADDED)
    asked = []
    monkeypatch.chdir(folder)
    monkeypatch.setattr(benchmark.forecast.resources, "measure_all", lambda named, *_, **__: asked.extend(named) or [])
    monkeypatch.setattr(sys, "argv", ["bench", "resources"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert {named.name for named in asked} == set(BUILT_IN["encoders"])
    assert "own: not looked at, for only the working directory's registry.yaml has it" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["doctor"], ["status"], ["store", "ls"], ["list"], ["report", "-o", "r.html"]])
def test_commands_that_name_no_entry_import_none(folder, words):
    write(folder, ADDED)
    store = [] if words == ["list"] else ["--store", "s"]
    result = bench(*words, *store, cwd=folder)
    assert "Traceback" not in result.stderr
    assert ran(folder) == []


def test_the_weights_of_a_replaced_encoder_are_imported_into_the_built_in_one(folder):
    write(folder, {"encoders": REPLACING["encoders"]})
    result = bench("import", "w.pt", "--encoder", "mfcc", "--as", "x", cwd=folder)
    assert result.returncode == 2
    assert "encoders.mfcc: would replace the built-in one" in result.stderr
    assert ran(folder) == []


def test_packages_that_are_installed_add_and_do_not_replace(folder, monkeypatch):
    package = folder / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('was run')")
    file = write(package, {"encoders": {**ADDED["encoders"], **REPLACING["encoders"]}})
    monkeypatch.syspath_prepend(str(folder))
    points = [EntryPoint("own", "own_package", "bench.registry")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == "bench.registry" else [])
    registry = load_registry()
    assert registry.encoder("own").file == file
    with pytest.raises(UserError, match=rf"{file}:4: encoders.tune_plus: .* pass --registry {file}$"):
        registry.encoder("tune_plus")
    assert load_registry([file]).encoder("tune_plus").file == file
    assert "own" in registry.asked().sections["encoders"]


def test_the_same_entry_elsewhere_replaces_nothing(folder, monkeypatch):
    """A checkout of bench beside an installed one."""
    monkeypatch.chdir(folder)
    (folder / "registry.yaml").write_bytes(built_in_registry().read_bytes())
    registry = load_registry()
    assert registry.said_of_left_out() == ""
    assert registry.encoder("tune_plus").file == built_in_registry()


def test_many_are_counted(folder, monkeypatch):
    monkeypatch.chdir(folder)
    write(folder, {"encoders": {name: {"class": "own_code:Enc"} for name in list(BUILT_IN["encoders"])[:9]}})
    assert load_registry().said_of_left_out().count("encoders.") == 5
    assert " and 4 more; rename them" in load_registry().said_of_left_out()


def asked(encoder, task, recipe, **levels):
    return Request(grid(encoder=encoder, task=task, recipe=recipe, **levels))


def test_what_a_run_rests_on_and_nothing_else(folder, monkeypatch):
    monkeypatch.chdir(folder)
    registry = load_registry()
    (folder / "music").mkdir()
    for request, names in (
        (asked("mfcc", "gtzan", "tune"), ["mfcc", "gtzan", "gtzan", "linear"]),
        (asked("tune_plus", "key", "demo", corpus="./music"), ["tune_plus", "demo", "key", "giantsteps", "linear"]),
        (asked("tune_plus", "gtzan", "untrained"), ["tune_plus", "gtzan", "gtzan", "linear"]),
        (asked("tune_plus", "gtzan", "supervised"), ["tune_plus", "supervised", "gtzan", "gtzan", "linear"]),
    ):
        assert [named.name for named in in_use(registry, [request])] == names


def test_what_lies_beside_a_registry_is_found_by_the_names_that_entries_mention(folder):
    """And by no others: whoever tries to import an optional library would run it."""
    for name in ("own_optional", "own_deeper"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write(__name__ + '\\n')\n")
    (folder / "own_helper.py").write_text("def late():\n    import own_deeper\n    return own_deeper\n")
    write(folder, ADDED)
    loaded = load_class(load_registry([folder]).encoder("own"))
    assert loaded.__module__ == "own_code"
    assert str(folder) not in sys.path
    for stranger in ("own_optional", "registry"):
        with pytest.raises(ImportError):
            importlib.import_module(stranger)
    assert sys.modules["own_helper"].late().__name__ == "own_deeper"


def test_processes_that_are_started_can_be_sent_what_is_imported_so(folder):
    write(folder, ADDED)
    loaded = load_class(load_registry([folder]).encoder("own"))
    # What `bench` has started imports `cli` to begin with.
    with get_context("spawn").Pool(1, initializer=importlib.import_module, initargs=("cli",)) as pool:
        assert pool.apply(_name_of, (pickle.dumps(loaded),)) == "own_code.Enc"


def _name_of(pickled: bytes) -> str:
    loaded = pickle.loads(pickled)
    return f"{loaded.__module__}.{loaded.__name__}"


#: What Python, and libraries that bench starts processes of, import early.
LIBRARIES = [
    *("multiprocessing", "socket", "tempfile", "random", "signal", "struct", "selectors", "sitecustomize"),
    *("numpy", "torch", "click", "tornado", "yaml", "dask", "distributed", "benchmark", "encoders", "soundfile"),
]


@pytest.fixture
def full_of_libraries(folder):
    for name in LIBRARIES:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write({name!r} + '\\n')\n")
    return folder


def test_processes_that_decode_import_nothing_of_the_working_directory(full_of_libraries, mtt):
    """They are started as `python -c`, which looks there first."""
    words = ["data", "prepare", "magnatagatune", "--data", mtt[0], "--store", "s"]
    result = bench(*words, cwd=full_of_libraries)
    assert result.returncode == 0, result.stderr
    assert ran(full_of_libraries) == []


def test_workers_import_nothing_of_the_working_directory(full_of_libraries, monkeypatch):
    """They are started as `python -m`, which looks there first."""
    from benchmark.engine.clusters import local_cluster

    monkeypatch.chdir(full_of_libraries)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with local_cluster(1, full_of_libraries / "logs", ["label"]) as client:
        (path,) = client.run(lambda: __import__("sys").path).values()
    assert str(full_of_libraries) not in path
    assert "" not in path
    assert ran(full_of_libraries) == []


def test_settings_of_libraries_in_the_working_directory_are_not_read(folder):
    (folder / "matplotlibrc").write_text("backend: module://own_code\nfont.size: 77\n")
    (folder / ".numba_config.yaml").write_text("cache_dir: here\n")
    code = (
        "from benchmark.folder_settings import ignore_folder_settings; ignore_folder_settings()\n"
        "import os; here = os.getcwd()\n"
        "import matplotlib, matplotlib.pyplot, numba.core.config as config\n"
        "matplotlib.pyplot.figure(); config.reload_config(); assert os.getcwd() == here\n"
        "print(matplotlib.rcParams['font.size'], config.CACHE_DIR, matplotlib.__spec__.loader.__class__.__name__)"
    )
    environment = {**os.environ, "MPLBACKEND": ""}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "10.0  SourceFileLoader\n", done.stderr
    assert ran(folder) == []


def test_a_file_that_is_called_like_a_study_that_ships_with_bench_does_not_replace_it(folder):
    (folder / "tune-table-1").write_text("name: mine\ngrid: {encoder: chroma, task: gtzan}\n")
    words = ["--dry-run", "--store", "s"]
    result = bench("run", "--study", "tune-table-1", *words, cwd=folder)
    assert result.returncode == 2
    assert result.stderr == (
        "bench: tune-table-1 ships with bench and is a file here too; name the file ./tune-table-1, or rename it\n"
    )
    assert bench("run", "--study", "./tune-table-1", *words, cwd=folder).returncode == 0


def test_a_folder_does_not_hide_a_model_of_its_name(folder, monkeypatch):
    from encoders import EncoderError
    from encoders.adapters.huggingface import HuggingFaceEncoder

    (folder / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(folder)
    with pytest.raises(EncoderError, match="owner/name: is a folder here that would hide the model of that name"):
        HuggingFaceEncoder(model="owner/name")


def test_every_section_has_its_case():
    assert set(ADDED) == set(REPLACING) == set(SECTIONS)
    assert BENCH.is_file()
