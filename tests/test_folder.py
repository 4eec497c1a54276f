"""Any folder of audio, and any labelled folder: what is found, what the labels are taken for, and a run with each."""

import csv
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_REGISTRY, bench, bench_json, tone, write_mp3
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import UserError
from benchmark.registry.datasets import open_dataset
from benchmark.registry.registry import load_registry
from tasks import DatasetError
from tasks.folder import AudioFolder, LabelledFolder


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def test_every_audio_file_below_the_folder_is_a_clip(tmp_path):
    touch(tmp_path, "b/two words.MP3", "a.wav", "b/c/Ä.flac", "b/broken.m4a", "z.ogg")
    touch(tmp_path, "cover.jpg", "notes.txt", "b/._two words.MP3", ".trash/old.wav", "mp3")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    dataset = AudioFolder(tmp_path)
    dataset.check()
    clips = dataset.clips()
    assert [clip.id for clip in clips] == ["a.wav", "b/broken.m4a", "b/c/Ä.flac", "b/two words.MP3", "z.ogg"]
    assert all(clip.path == clip.id and clip.split is None and clip.artist == "" for clip in clips)
    assert [tmp_path / clip.path for clip in clips] == list(dataset.audio_files())
    assert (list(dataset.tables()), list(dataset.counts()), dict(dataset.checksums())) == ([], [], {})


def test_a_linked_folder_is_followed(tmp_path):
    touch(tmp_path / "elsewhere", "x.wav")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "link").symlink_to(tmp_path / "elsewhere")
    assert [clip.path for clip in AudioFolder(tmp_path / "corpus").clips()] == ["link/x.wav"]


def test_a_folder_without_audio_or_labels_says_so(tmp_path):
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        AudioFolder(tmp_path / "nowhere").check()
    touch(tmp_path, "notes.txt")
    with pytest.raises(DatasetError, match="no audio files in this folder"):
        AudioFolder(tmp_path).check()
    with pytest.raises(DatasetError, match="has no labels"):
        AudioFolder(tmp_path).task()
    assert AudioFolder.STANDIN is None


def test_a_file_name_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "ok.wav").write_bytes(b"x")
    try:
        Path(f"{tmp_path}/\udcff.wav").write_bytes(b"x")
    except OSError:
        pytest.skip("the file system takes no such name")
    with pytest.raises(DatasetError, match="is not UTF-8; rename it"):
        AudioFolder(tmp_path).clips()


def labelled(root, text, name="labels.csv"):
    root.mkdir(exist_ok=True)
    (root / name).write_text(text)
    return LabelledFolder(root, name)


THREE = "path,split,{}\na.wav,train,{}\nsub/b.wav,valid,{}\nc.wav,test,{}\n"


def test_one_column_of_text_holds_classes(tmp_path):
    task = labelled(tmp_path, THREE.format("genre", "rock", "Jazz ", '"pop, or so"')).task()
    assert task.kind == "multiclass"
    assert task.label_names == ("Jazz", "pop, or so", "rock")
    assert task.labels.tolist() == [[2], [0], [1]]
    assert task.labels.dtype == np.int64
    assert task.clip_ids == ("a.wav", "sub/b.wav", "c.wav")
    assert task.splits.tolist() == ["train", "valid", "test"]


WORDS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1)


@settings(max_examples=40)
@given(labels=st.lists(WORDS.filter(lambda word: not _numeric(word)), min_size=3, max_size=12))
def test_any_words_are_classes(labels):
    text = io.StringIO()
    rows = [[f"{n}.wav", ("train", "valid", "test")[n % 3], label] for n, label in enumerate(labels)]
    csv.writer(text).writerows([["path", "split", "label"], *rows])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "labels.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
        task = LabelledFolder(Path(folder)).task()
    assert [task.label_names[index] for index in task.labels[:, 0]] == labels
    assert list(task.label_names) == sorted(set(labels))


def _numeric(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("names", "cells"), [("calm", ("1", "0", "1")), ("calm,loud", ("1,0", "0,0", "0,1"))])
def test_columns_of_0_and_1_are_tags(tmp_path, names, cells):
    task = labelled(tmp_path, THREE.format(names, *cells)).task()
    assert task.kind == "multilabel"
    assert task.label_names == tuple(names.split(","))
    assert task.labels.tolist() == [[int(value) for value in cell.split(",")] for cell in cells]
    assert task.labels.dtype == np.int8


@pytest.mark.parametrize(("names", "cells"), [("bpm", ("120", "99.5", "1e2")), ("a,b", ("1,0.5", "0,0", "0,1"))])
def test_columns_of_other_numbers_are_targets(tmp_path, names, cells):
    task = labelled(tmp_path, THREE.format(names, *cells)).task()
    assert task.kind == "regression"
    assert task.labels.tolist() == [[float(value) for value in cell.split(",")] for cell in cells]
    assert task.labels.dtype == np.float64


def test_options_choose_columns_and_kind(tmp_path):
    text = THREE.format("genre, year, arousal, valence", "rock,1990,0.1,2", "pop,2000,0.2,3", "rock,1990,0.3,4")
    dataset = labelled(tmp_path, text)
    assert dataset.task(columns="genre").label_names == ("pop", "rock")
    emotion = dataset.task(columns="valence, arousal")
    assert (emotion.kind, emotion.label_names) == ("regression", ("valence", "arousal"))
    assert emotion.labels.tolist() == [[2, 0.1], [3, 0.2], [4, 0.3]]
    assert dataset.task(columns="year").kind == "regression"
    years = dataset.task(columns="year", kind="multiclass")
    assert (years.kind, years.label_names, years.labels[:, 0].tolist()) == ("multiclass", ("1990", "2000"), [0, 1, 0])


def test_groups_and_clips_outside_any_split(tmp_path):
    text = (
        "path\tsplit\tlabel\tartist\talbum\trecording\n"
        "1.wav\ttrain\tx\tA\tL\tR1\n2.wav\tvalid\ty\tB\t\t\n3.wav\ttest\tx\t\t\tR2\n4.wav\ttest\tx\t\t\tR2\n"
        "5.wav\t\t\tC\t\t\n"
    )
    dataset = labelled(tmp_path, text, "x.TSV")
    clips = dataset.clips()
    assert (clips[0].artist, clips[0].album, clips[0].recording) == ("A", "L", "R1")
    assert clips[4].split is None
    task = dataset.task()
    assert task.clip_ids == ("1.wav", "2.wav", "3.wav", "4.wav")
    assert task.groups.tolist() == ["R1", "2.wav", "R2", "R2"]
    grouped = labelled(tmp_path, "path,split,l,group,recording\n1,train,x,g,r\n2,valid,y,g,r\n3,test,x,,r\n")
    assert grouped.task().groups.tolist() == ["g", "g", "3"]


def test_only_files_of_the_table_are_audio_files(tmp_path):
    touch(tmp_path, "a.wav", "sub/b.wav", "other.wav")
    dataset = labelled(tmp_path, THREE.format("genre", "x", "y", "z"))
    assert dataset.audio_files() == [tmp_path / "a.wav", tmp_path / "sub/b.wav"]
    assert len(dataset.clips()) == 3
    assert dataset.tables() == (tmp_path / "labels.csv",)


@pytest.mark.parametrize(
    ("text", "options", "line", "message"),
    [
        ("label,split\nx,train\n", {}, 1, "no column 'path'"),
        ("path,a\na.wav,x\nb.wav,\n", {}, 3, "column 'a' is empty"),
        ("path,split\na.wav,train\n", {}, 1, "no column of labels"),
        ("path,split,a,a\na.wav,train,1,1\n", {}, 1, "column 'a' is there twice"),
        ("path,split,a,\na.wav,train,1,1\n", {}, 1, "column 4 has no name"),
        ("path,split,a\na.wav,train\n", {}, 2, "2 fields where the header has 3"),
        ("path,split,a\na.wav,dev,1\n", {}, 2, "split must be train, valid, test or empty, not 'dev'"),
        ("path,split,a\na.wav,train,\n", {}, 2, "column 'a' is empty"),
        ("path,split,a\na.wav,train,1\nb.wav,test,1\na.wav,test,1\n", {}, 4, "path 'a.wav' is already in line 2"),
        ("path,split,a\n../a.wav,train,1\n", {}, 2, "path must lead to a file below"),
        ("path,split,a\n/a.wav,train,1\n", {}, 2, "path must lead to a file below"),
        ("path,split,a\nx\\..\\a.wav,train,1\n", {}, 2, "path must lead to a file below"),
        ("path,split,a\na/x.wav,train,1\na//x.wav,test,1\n", {}, 3, "path must lead to a file below"),
        (THREE.format("bpm", "120", "fast", "130"), {}, 3, "column 'bpm' holds 'fast', no number where others are"),
        (THREE.format("genre", "rock", "pop", "7"), {}, 4, "column 'genre' holds '7', a number where others are text"),
        (THREE.format("genre", "rock", "pop", "7"), {"kind": "regression"}, 2, "column 'genre' must be a number"),
        (THREE.format("a", "0", "1", "2"), {"kind": "multilabel"}, 4, "column 'a' must be 0, 1 or ?, not '2'"),
        (THREE.format("a", "0.5", "inf", "2"), {}, 3, "column 'a' holds 'inf', no number"),
        (THREE.format("a,b", "x,y", "x,y", "x,y"), {}, 1, "classes must be in one column, and there are 'a', 'b'"),
        (THREE.format("a", "0", "1", "1"), {"columns": "b"}, 1, "no column 'b'; there are 'a'"),
        ("path,split,a\na.wav,train,1\nb.wav,test,1\n", {}, None, "no clip has the split valid"),
        (THREE.format("a", "0", "1", "1"), {"kind": "tags"}, None, "kind must be one of multilabel, multiclass, regr"),
        (
            THREE.format("a", "0", "1", "1"),
            {"split": "x"},
            None,
            "no option 'split'; there are columns, kind and separator",
        ),
    ],
)
def test_mistakes_are_named_by_file_and_line(tmp_path, text, options, line, message):
    dataset = labelled(tmp_path, text)
    with pytest.raises(DatasetError) as raised:
        dataset.task(**options)
    where = f"{tmp_path / 'labels.csv'}:" if line is None else f"{tmp_path / 'labels.csv'}:{line}: "
    assert str(raised.value).startswith(where)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def registry(tmp_path, dataset):
    file = tmp_path / "registry.yaml"
    file.write_text(f"datasets:\n  mine: {dataset}\n")
    return load_registry([file]).dataset("mine")


def test_an_entry_names_its_folder_and_its_table(tmp_path):
    labelled(tmp_path / "music", THREE.format("mood", "x", "y", "z"), "moods.csv")
    named = registry(tmp_path, "{class: tasks.folder:LabelledFolder, root: music, args: {table: moods.csv}}")
    # Relative to the registry, whatever --data says.
    for data in (None, Path("/elsewhere")):
        assert open_dataset(named, data).task().label_names == ("x", "y", "z")
    named = registry(
        tmp_path, f"{{class: tasks.folder:LabelledFolder, root: {tmp_path}, args: {{table: music/moods.csv}}}}"
    )
    assert open_dataset(named, None).tables() == (tmp_path / "music/moods.csv",)
    named = registry(tmp_path, "{class: tasks.folder:LabelledFolder, root: music}")
    with pytest.raises(DatasetError, match=r"music/labels\.csv: no such table"):
        open_dataset(named, None)
    named = registry(tmp_path, "{class: tasks.folder:LabelledFolder, root: music, args: {tabel: x}}")
    with pytest.raises(UserError, match=r"registry\.yaml:2: datasets\.mine\.args: .*'tabel'"):
        open_dataset(named, None)


FOUR_LINES = """
datasets:
  mine: {class: tasks.folder:LabelledFolder, root: music}
  all: {class: tasks.folder:AudioFolder, root: music}
corpora:
  all: {dataset: all}
tasks:
  pitch: {dataset: mine, options: {columns: hz}, metrics: [r2], corpus: all, protocol: linear}
  register: {dataset: mine, options: {columns: register}, metrics: [accuracy, macro_f1], corpus: all, protocol: linear}
"""


def test_a_labelled_folder_is_run_like_any_task(tmp_path):
    rows = ["path,split,hz,register,recording"]
    for number in range(24):
        hz = 150 + 40 * number
        split = ("train", "train", "valid", "test")[number % 4]
        wave = np.sin(2 * np.pi * hz * np.arange(22_050) / 22_050).astype(np.float32)
        write_mp3(tmp_path / "music" / split / f"{number}.mp3", 0.3 * wave + 0.05 * tone(1, 22_050, number), 22_050)
        rows.append(f"{split}/{number}.mp3,{split},{hz},{'high' if hz > 600 else 'low'},r{number // 8}")
    (tmp_path / "music" / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "registry.yaml").write_text(FOUR_LINES)
    (tmp_path / "tiny.yaml").write_text(TINY_REGISTRY)
    arguments = ["--encoder", "tiny", "--recipe", "short", "--store", tmp_path / "store"]
    tasks = ["--task", "pitch", "--task", "register", "--registry", "tiny.yaml"]
    records = bench_json("run", *arguments, *tasks, cwd=tmp_path)
    assert [(r["task"], r["recipe"], r["corpus"]) for r in records] == [
        *(("pitch", "short", "all"), ("pitch", "untrained", None)),
        *(("register", "short", "all"), ("register", "untrained", None)),
    ]
    pitch, register = records[0], records[2]
    assert pitch["data"] == register["data"] == "real"
    assert pitch["n_scored"] == {"train": 12, "valid": 6, "test": 6}
    assert pitch["pretraining"]["clips"] == 24
    # Pretrained on the very clips that are tested, and the record says so.
    assert pitch["overlap"]["clips"] == 6
    assert list(pitch["metrics"]["r2"]["per_label"]) == ["hz"]
    truth = np.array([float(row.split(",")[2]) for row in rows[1:] if ",test," in row])
    training = np.array([float(row.split(",")[2]) for row in rows[1:] if ",train," in row])
    floor = 1 - ((truth - training.mean()) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert pitch["metrics"]["r2"]["floor"] == pytest.approx(floor)
    assert set(register["metrics"]["macro_f1"]["per_label"]) == {"high", "low"}
    assert 0 <= register["metrics"]["accuracy"]["value"] <= 1

    # A metric that does not exist, or is for another kind of task, is refused.
    (tmp_path / "registry.yaml").write_text(FOUR_LINES.replace("[accuracy, macro_f1]", "[accuracie]"))
    result = bench("run", *arguments[:-1], tmp_path / "other", *tasks[2:], cwd=tmp_path)
    assert result.returncode == 2
    assert "unknown metric 'accuracie'. Did you mean 'accuracy'?" in result.stderr

    (tmp_path / "registry.yaml").write_text(FOUR_LINES.replace("[accuracy, macro_f1]", "[roc_auc]"))
    result = bench("run", *arguments[:-1], tmp_path / "other", *tasks[2:], cwd=tmp_path)
    assert result.returncode == 2
    assert "metric 'roc_auc' is for multilabel tasks, and this task is multiclass" in result.stderr

    (tmp_path / "registry.yaml").write_text(FOUR_LINES)
    (tmp_path / "music" / "labels.csv").write_text("\n".join([*rows, "x.mp3,trian,1,low,r"]) + "\n")
    result = bench("run", *arguments, *tasks, cwd=tmp_path)
    assert result.returncode == 2
    assert "labels.csv:26: split must be train, valid, test or empty, not 'trian'" in result.stderr


def test_a_corpus_of_another_folder(tmp_path, mtt, tiny_registry):
    data, _ = mtt
    for number in range(8):
        write_mp3(tmp_path / "songs" / f"{number}.mp3", tone(2, 22_050, number), 22_050)
    (tmp_path / "songs" / "broken.mp3").write_bytes(b"no audio")
    (tmp_path / "registry.yaml").write_text(
        "datasets:\n  songs: {class: tasks.folder:AudioFolder, root: songs}\ncorpora:\n  songs: {dataset: songs}\n"
    )
    arguments = ["--encoder", "tiny", "--recipe", "short", "--task", "mtt", "--corpus", "songs", "--data", data]
    result = bench(
        "run", *arguments, "--registry", tiny_registry, "--store", tmp_path / "store", "--json", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    trained = json.loads(result.stdout)[0]
    assert trained["corpus"] == "songs"
    assert trained["pretraining"]["clips"] == 8
    assert "broken.mp3: not readable as audio" in result.stderr
    assert set(trained["metrics"]) == {
        *("roc_auc", "average_precision", "roc_auc_clipwise", "average_precision_clipwise"),
    }
