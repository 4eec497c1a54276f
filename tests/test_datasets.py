"""What every dataset of the registry keeps to, whatever its layout: one skeleton, and a stand-in that follows it."""

import ast
import hashlib
import importlib
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from benchmark.registry.plugins import load_class, load_standin
from benchmark.registry.registry import Registry, built_in_registry
from tasks import DatasetError
from tasks.base import SPLITS, Count, Dataset, Remote
from tasks.folder import AudioFolder, LabelledFolder
from tasks.folds import divide
from tasks.standin import recording

REGISTRY = Registry()
REGISTRY.add_file(built_in_registry())
NAMES, TASKS, CORPORA = (sorted(REGISTRY.sections[section]) for section in ("datasets", "tasks", "corpora"))
#: One name for each class, of which there may be several entries with other arguments.
NAMES = sorted({REGISTRY.dataset(name).entry.class_path: name for name in reversed(NAMES)}.values())
SECTIONS = ["Layout", "Conventions", "Split", "Known faults", "Metric", "Licence", "Sources"]
SEED = 3


def class_of(name):
    return load_class(REGISTRY.dataset(name))


def snapshot(root):
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mtime_ns, hashlib.md5(path.read_bytes()).hexdigest())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def write_name(root, piece):
    """In place of the piece's music, which takes longer to render and encode than all else here together."""
    (root / piece.path).write_text(f"{piece.path} {piece.song.seed} {piece.song.index} {piece.start}")


@pytest.fixture(scope="module")
def standins(tmp_path_factory):
    """Writes a dataset's stand-in, once: name -> dataset, and what `progress` was called with."""
    written = {}
    patch = pytest.MonkeyPatch()
    patch.setattr(recording, "_write", write_name)
    patch.setattr(recording.os, "cpu_count", lambda: 1)

    def standin(name, again=False):
        entry = REGISTRY.dataset(name).entry
        made = (entry.class_path, again)
        if made not in written:
            root = tmp_path_factory.mktemp(name)
            steps = []
            load_standin(REGISTRY.dataset(name)).write(
                root, SEED, progress=lambda done, total: steps.append((done, total))
            )
            written[made] = (root, steps)
        root, steps = written[made]
        return class_of(name)(root, **entry.args), steps

    yield standin
    patch.undo()


def test_the_registry_has_the_datasets_of_the_papers():
    assert {"magnatagatune", "gtzan", "fma_small", "fma_medium", "billboard", "emomusic", "giantsteps"} <= set(NAMES)
    assert {"mtt", "mtt-tagged", "mtt-pub", "gtzan", "gtzan-all", "fma-small", "fma-medium", "key"} <= set(TASKS)
    assert {"magnatagatune", "gtzan", "fma-small", "fma-medium", "billboard"} <= set(CORPORA)


@pytest.mark.parametrize("name", NAMES)
def test_its_module_describes_it(name):
    text = importlib.import_module(class_of(name).__module__).__doc__
    headings = [heading.replace("Splits", "Split") for heading in re.findall(r"^(\w[\w ]*)\n-{3,}$", text, re.M)]
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS
    for body in re.split(r"^\w[\w ]*\n-{3,}$", text, flags=re.M)[1:]:
        assert body.strip()


@pytest.mark.parametrize("name", NAMES)
def test_its_class_states_the_facts(name):
    cls = class_of(name)
    assert issubclass(cls, Dataset)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", cls.NAME)
    assert cls.LICENCE
    assert re.match(r"@\w+\{\w+,\n", cls.BIBTEX)
    assert cls.BIBTEX.count("{") == cls.BIBTEX.count("}")
    assert cls.HOW_TO_GET
    assert "\n" not in cls.HOW_TO_GET
    for path, reason in cls.KNOWN_BAD.items():
        assert reason
        assert not path.startswith("/")
        assert ".." not in path.split("/")


@pytest.mark.parametrize("name", NAMES)
def test_its_downloads_are_well_formed(name):
    remotes = class_of(name).REMOTES
    assert len({remote.name for remote in remotes}) == len(remotes)
    lengths = {"md5": 32, "sha1": 40, "sha256": 64}
    for remote in remotes:
        assert isinstance(remote, Remote)
        assert remote.urls
        assert all(re.match(r"https?://[^/\s]+/\S+$", url) for url in remote.urls)
        if remote.checksum:
            kind, _, digits = remote.checksum.partition(":")
            assert re.fullmatch(f"[0-9a-f]{{{lengths[kind]}}}", digits)
        assert remote.to
        assert not remote.to.startswith("/")
        assert ".." not in remote.to.split("/")
        assert remote.archive or not remote.joined
    # Parts of one archive stand together, in order.
    joined = [remote.joined for remote in remotes if remote.joined]
    assert joined == sorted(joined, key=joined.index)
    parts = [remote.name for remote in remotes if remote.joined]
    assert parts == sorted(parts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("there", [False, True], ids=["no folder", "empty folder"])
def test_what_is_missing_is_named_with_how_to_get_it(name, there, tmp_path):
    cls = class_of(name)
    root = tmp_path / cls.NAME
    if there:
        root.mkdir()
    with pytest.raises(DatasetError) as raised:
        cls(root).check()
    message = str(raised.value)
    assert message.startswith(str(root))
    assert cls.HOW_TO_GET in message
    assert "\n" not in message
    assert root.exists() == there
    assert cls(root).audio_files() == [] or not list(cls(root).audio_files())


@pytest.mark.parametrize("name", NAMES)
def test_its_standin_is_what_it_says(name, standins):
    dataset, steps = standins(name)
    clips, seconds = load_standin(REGISTRY.dataset(name)).extent()
    assert steps[-1] == (clips, clips)
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert clips <= seconds <= 60 * clips
    dataset.check()
    # The stand-in may hold a few broken files besides, as the dataset does.
    music = [file for file in dataset.root.rglob("*.*") if file.is_file() and file.suffix in (".mp3", ".wav", ".flac")]
    assert 0 <= len(music) - clips <= 10
    assert set(dataset.audio_files()) <= set(music)


@pytest.mark.parametrize("name", NAMES)
def test_its_clips_are_well_formed(name, standins):
    dataset, _ = standins(name)
    clips = dataset.clips()
    assert len({clip.id for clip in clips}) == len(clips) > 0
    assert len({clip.path for clip in clips}) == len(clips)
    inside = dataset.root.resolve()
    for clip in clips:
        assert clip.id
        assert "\\" not in clip.path
        assert (dataset.root / clip.path).resolve().is_relative_to(inside)
        assert not clip.path.startswith("/")
        assert clip.split in (*SPLITS, None)
        assert clip.seconds is None or clip.seconds > 0
        assert clip.path not in dataset.KNOWN_BAD or clip.split is None
    assert [clip.id for clip in type(dataset)(dataset.root).clips()] == [clip.id for clip in clips]


@pytest.mark.parametrize("name", NAMES)
def test_its_files_are_listed(name, standins):
    dataset, _ = standins(name)
    files, tables = list(dataset.audio_files()), list(dataset.tables())
    assert files == sorted(files)
    assert len(set(files)) == len(files)
    assert all(file.is_file() and file.is_relative_to(dataset.root) for file in (*files, *tables))
    assert not set(files) & set(tables)
    paths = {file.relative_to(dataset.root).as_posix() for file in files}
    # A clip whose path is right is among the files, so what is not can be reported as missing.
    assert sum(clip.path in paths for clip in dataset.clips()) >= 0.9 * len(dataset.clips())
    lengths = {"md5": 32, "sha1": 40, "sha256": 64}
    for path, checksum in dataset.checksums().items():
        kind, _, digits = checksum.partition(":")
        assert re.fullmatch(f"[0-9a-f]{{{lengths[kind]}}}", digits)
        assert not path.startswith("/")


@pytest.mark.parametrize("name", NAMES)
def test_its_size_is_compared_with_what_is_published(name, standins):
    dataset, _ = standins(name)
    counts = list(dataset.counts())
    assert counts
    for count in counts:
        assert isinstance(count, Count)
        assert count.what
        assert count.source
        assert count.found >= 0
        assert count.published > 0
        assert (type(count.found), type(count.published)) == (int, int)


@pytest.mark.parametrize("name", NAMES)
def test_it_leaves_the_files_alone(name, standins):
    dataset, _ = standins(name)
    before = snapshot(dataset.root)
    fresh = type(dataset)(dataset.root, **REGISTRY.dataset(name).entry.args)
    for method in ("check", "tables", "audio_files", "clips", "counts", "checksums"):
        getattr(fresh, method)()
    for task in TASKS:
        entry = REGISTRY.task(task).entry
        if entry.dataset == name:
            fresh.task(**entry.options)
    assert snapshot(dataset.root) == before


@pytest.mark.parametrize("name", NAMES)
def test_its_standin_is_the_same_for_the_same_seed(name, standins):
    (first, _), (second, _) = standins(name), standins(name, again=True)
    one, other = ({path: digest for path, (_, digest) in snapshot(made.root).items()} for made in (first, second))
    assert one == other
    assert list(first.clips()) == list(second.clips())


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_option_is_refused(name, standins):
    with pytest.raises(DatasetError) as raised:
        standins(name)[0].task(no_such_option="x")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_consistent(name, standins):
    entry = REGISTRY.task(name).entry
    dataset, _ = standins(entry.dataset)
    task = divide(dataset.task(**entry.options), dataset, entry.folds)
    size = len(task.clip_ids)
    assert len(set(task.clip_ids)) == size
    assert task.splits.shape == task.groups.shape == (size,)
    assert task.splits.dtype.kind == task.groups.dtype.kind == "U"
    assert all(set(division.tolist()) == set(SPLITS) for division in task.divisions)
    assert len(task.label_names) == len(set(task.label_names))
    clips = {clip.id: clip for clip in dataset.clips()}
    assert set(task.clip_ids) <= set(clips)
    assert not {clips[clip].path for clip in task.clip_ids} & set(dataset.KNOWN_BAD)
    if task.kind == "multiclass":
        assert task.labels.shape == (size, 1)
        assert task.labels.dtype.kind == "i"
        assert 0 <= task.labels.min() <= task.labels.max() < len(task.label_names)
        for division in task.divisions:
            assert set(task.labels[division == "test"].ravel()) <= set(task.labels[division == "train"].ravel())
    else:
        assert task.labels.shape == (size, len(task.label_names))
        assert np.isfinite(task.labels.data if task.kind == "interactions" else task.labels).all()
    if task.kind == "multilabel":
        assert set(np.unique(task.labels)) == {0, 1}
    # What is tested on must be there, or nobody can run the task on the stand-in.
    there = {file.relative_to(dataset.root).as_posix() for file in dataset.audio_files() if file.stat().st_size}
    tested = [clip for clip, split in zip(task.clip_ids, task.splits, strict=True) if split == "test"]
    assert {clips[clip].path for clip in tested} <= there
    assert entry.corpus in CORPORA


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_has_clips(name, standins):
    entry = REGISTRY.corpus(name).entry
    clips = standins(entry.dataset)[0].clips()
    assert any(entry.splits is None or clip.split in entry.splits for clip in clips)


def test_datasets_do_not_import_what_they_do_not_need():
    """A stand-in's synthesiser is imported when a stand-in is written, never to read the user's files."""
    for module in sorted({class_of(name).__module__ for name in NAMES}):
        tree = ast.parse(Path(sys.modules[module].__file__).read_text(encoding="utf-8"))
        imported = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
        assert not [name for name in imported if name.startswith(("tasks.standin", "benchmark"))]


GOLDEN = Path(__file__).parent / "golden" / "labels.json"
FOLDER = """path,split,artist,tempo,rock,jazz
a.wav,train,Ann,120.5,1,0
b.wav,train,Bob,90,?,1
c.wav,valid,Cyd,100.25,0,0
d.wav,test,Dan,60,1,?
e.wav,,Eve,,,
"""


def fingerprint(dataset, *options):
    """Hash of all that a class reads out of its tables: clips, and labels, splits and groups of these tasks."""
    clips = [asdict(clip) for clip in dataset.clips()]
    content = [[{key: value for key, value in clip.items() if value} for clip in clips]]
    for task in (dataset.task(**one) for one in options):
        labels = json.dumps(task.targets.content(), default=float)
        content.append([task.clip_ids, task.splits.tolist(), task.groups.tolist(), task.label_names, labels])
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def check_golden(name, dataset, *options):
    cls = type(dataset)
    found = {"version": cls.VERSION, "fingerprint": fingerprint(dataset, *options)}
    golden = json.loads(GOLDEN.read_text()).get(name)
    assert found == golden, (
        f"{cls.__module__}:{cls.__name__} reads something else out of the same files: raise VERSION of {cls.__name__} "
        f"if results change by it, and write into {GOLDEN.name}: {json.dumps({name: found})}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_a_dataset_reads_is_what_it_read(name, standins):
    options = [REGISTRY.task(one).entry.options for one in sorted(TASKS) if REGISTRY.task(one).entry.dataset == name]
    check_golden(name, standins(name)[0], *options)


def test_what_a_table_of_ones_own_says_is_what_it_said(tmp_path):
    (tmp_path / "labels.csv").write_text(FOLDER)
    for file in "abcde":
        (tmp_path / f"{file}.wav").touch()
    tags, tempo, classes = {"columns": "rock,jazz"}, {"columns": "tempo"}, {"columns": "rock", "kind": "multiclass"}
    check_golden("folder with a table", LabelledFolder(tmp_path), tags, tempo, classes)
    check_golden("folder", AudioFolder(tmp_path))
