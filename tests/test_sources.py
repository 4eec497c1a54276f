"""Whose code and whose files stand in a key: the right module or none, all that it rests on, and nothing else."""

from __future__ import annotations

import errno
import sys
from dataclasses import replace

import pytest
from conftest import bench

from benchmark.console import Silent
from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.plan.planner import Planner
from benchmark.plan.requests import Request, grid
from benchmark.registry.datasets import contents, relative
from benchmark.registry.plugins import code_identity, load_class
from benchmark.registry.registry import load_registry
from benchmark.store import digests
from benchmark.store.digests import DigestCache
from benchmark.store.store import Store, digest_file, digest_of
from tasks.magnatagatune import MagnaTagATune


@pytest.fixture(autouse=True)
def _modules_of_this_test_alone(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]


def entry(folder, path, text="", **files):
    """The encoder `mine` of a registry in `folder`, with files beside it."""
    folder.mkdir(exist_ok=True)
    for name, source in {"own_code": text, **files}.items():
        if source:
            (folder / f"{name}.py").write_text(source)
    (folder / "registry.yaml").write_text(f"encoders:\n  mine: {{class: '{path}'}}\n")
    return load_registry([folder]).encoder("mine")


def test_two_registries_with_modules_of_one_name_are_never_mistaken(tmp_path):
    one = entry(tmp_path / "one", "own_code:Loud", "class Loud: factor = 1\n")
    two = entry(tmp_path / "two", "own_code:Loud", "class Loud: factor = 2\n")
    assert load_class(one).factor == 1
    for asked in (load_class, code_identity):
        with pytest.raises(
            UserError, match=r"two/registry.yaml:2: mine: \S+/two/own_code.py is hidden by \S+/one/own_c"
        ):
            asked(two)
    assert load_class(one).factor == 1


@pytest.mark.parametrize("name", ["json", "time", "yaml"])
def test_a_module_that_python_has_already_does_not_stand_for_the_users(tmp_path, name):
    named = entry(tmp_path, f"{name}:Mine", **{name: "class Mine: pass\n"})
    with pytest.raises(UserError, match=rf"{name}.py is hidden by .* rename one of them"):
        code_identity(named)


def test_a_module_within_a_folder_without_init_is_not_mistaken_either(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place / "own_models").mkdir(parents=True)
        (tmp_path / place / "own_models" / "mine.py").write_text(f"class Mine: place = {place!r}\n")
    one, two = (entry(tmp_path / place, "own_models.mine:Mine") for place in ("one", "two"))
    assert load_class(one).place == "one"
    with pytest.raises(UserError, match=r"two/own_models/mine.py is hidden by"):
        load_class(two)


def test_a_run_of_two_such_encoders_is_refused(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "own_code.py").write_text("class Loud: pass\n")
        (tmp_path / place / "registry.yaml").write_text(f"encoders:\n  loud_{place}: {{class: 'own_code:Loud'}}\n")
    names = ("--encoder", "loud_one", "--encoder", "loud_two", "--task", "gtzan", "--dry-run")
    result = bench("run", *names, "--registry", "one", "--registry", "two", "--store", "s", cwd=tmp_path)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if "two/own_code.py is hidden by" in line]
    assert line.startswith("failed: ")


def test_what_a_module_imports_from_beside_it_counts_and_its_neighbours_do_not(tmp_path):
    source = "def late():\n    import own_helper\n\nimport json, torch, encoders.base\n"
    named = entry(tmp_path, "own_code:Late", source, own_helper="from own_deeper.part import x\n", own_other="")
    (tmp_path / "own_deeper").mkdir()
    (tmp_path / "own_deeper" / "part.py").write_text("x = 1\n")
    for script in ("json", "torch"):
        (tmp_path / f"{script}.py").write_text("a script\n")
    seen = [code_identity(named)]
    (tmp_path / "own_other.py").write_text("y = 1\n")
    (tmp_path / "test_own_code.py").write_text("import own_code, own_other\n")
    assert code_identity(named) == seen[0]
    for file in ("own_helper.py", "own_deeper/part.py", "own_code.py"):
        (tmp_path / file).write_text((tmp_path / file).read_text() + "# edited\n")
        seen.append(code_identity(named))
    assert len(set(seen)) == 4


def test_a_helper_of_one_name_in_two_folders_is_refused(tmp_path):
    one = entry(tmp_path / "one", "own_first:A", own_first="import own_helper\n", own_helper="x = 1\n")
    two = entry(tmp_path / "two", "own_second:B", own_second="import own_helper\n", own_helper="x = 2\n")
    code_identity(one)
    with pytest.raises(UserError, match=r"two/own_helper.py is hidden by \S+/one/own_helper.py"):
        code_identity(two)


def test_a_module_alone_has_the_key_that_it_always_had(tmp_path):
    from hashlib import sha256

    named = entry(tmp_path, "own_code:Mine", "import torch\n\nclass Mine: pass\n")
    assert code_identity(named) == sha256(digest_file(tmp_path / "own_code.py").encode()).hexdigest()
    assert code_identity(load_registry().encoder("mfcc")) == "version 1"


def test_what_is_no_encoder_and_no_dataset_is_one_line(tmp_path):
    named = entry(tmp_path, "os.path:join")
    assert len(code_identity(named)) == 64
    with pytest.raises(UserError, match="mine: cannot build os.path:join"):
        build_encoder(named, 0)
    (tmp_path / "registry.yaml").write_text("datasets:\n  odd: {class: 'pathlib:Path'}\n")
    with pytest.raises(UserError, match=r"registry.yaml:2: odd: pathlib:Path is no subclass of tasks.base.Dataset"):
        load_class(load_registry([tmp_path]).dataset("odd"))


def test_files_that_no_clip_names_are_no_part_of_a_dataset(mtt, tmp_path):
    data, paths = mtt
    dataset = MagnaTagATune(data / "magnatagatune")
    store = Store(tmp_path / "store")
    before = contents(dataset, store, Silent())
    assert before.audio == {
        clip.path: digest_file(dataset.root / clip.path)
        for clip in dataset.clips()
        if (dataset.root / clip.path).exists()
    }
    assert before.tables == digest_of({relative(dataset, file): digest_file(file) for file in dataset.tables()})
    (data / "magnatagatune" / "0" / ".DS_Store").write_bytes(b"icons")
    (data / "magnatagatune" / "0" / "notes.txt").write_text("mine")
    assert contents(MagnaTagATune(data / "magnatagatune"), store, Silent()) == before
    oddly = MagnaTagATune(data / "magnatagatune")
    clips = [replace(clip, path=f"./{clip.path}") for clip in oddly.clips()]
    oddly.clips = lambda: clips
    assert list(contents(oddly, store, Silent()).audio.values()) == list(before.audio.values())
    paths["1"].write_bytes(paths["2"].read_bytes())
    assert contents(MagnaTagATune(data / "magnatagatune"), store, Silent()) != before


def test_a_table_that_cannot_be_read_is_left_to_the_step_that_reads_it(mtt, tmp_path):
    data, _ = mtt
    table = data / "magnatagatune" / "annotations_final.csv"
    table.write_text(table.read_text().replace('"1"', '"7"'))
    planner = Planner(load_registry(), Store(tmp_path / "store"), Silent(), data)
    assert len(planner.prepare_step("magnatagatune", 22_050).key) == 40


def test_hashes_are_found_though_the_store_cannot_keep_them(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"a")
    store = Store(tmp_path / "store")

    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(digests, "write_atomically", refuse)
    twice = [tmp_path / "a", tmp_path / "a"]
    found = DigestCache(store).digests(twice, lambda n: Silent().progress("hash", n, "files"))
    assert found == [digest_file(tmp_path / "a")] * 2


def test_a_folder_called_like_a_dataset_is_the_corpus(tmp_path, monkeypatch):
    """`fma_small` is a dataset of the registry; its corpus has another name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fma_small").mkdir()
    (tmp_path / "fma_small" / "a.wav").write_bytes(b"not read")
    planner = Planner(load_registry(), Store(tmp_path / "store"), Silent(), None)
    run, _ = planner.runs(Request(grid(encoder="tune_plus", task="mtt", recipe="demo", corpus="fma_small")))
    corpus = run.score.needs["weights"].needs["pcm"]
    assert (run.cell.corpus, corpus.context["dataset"].entry.class_path) == ("fma_small", "tasks.folder:AudioFolder")
    assert corpus.needs == {}
    assert planner.registry.dataset("fma_small").entry.class_path == "tasks.fma:FmaSmall"
