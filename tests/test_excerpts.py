"""Labelled folders whose clips are excerpts of longer files, with distributions as labels: tables, folds, a run."""

import numpy as np
import pytest
import soundfile
from conftest import bench, bench_json
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from benchmark.audio.excerpts import check_excerpts
from benchmark.errors import UserError
from tasks import DatasetError
from tasks.folder import LabelledFolder
from tasks.folds import divide
from tasks.metrics import kl_divergence

HEAD = "path,split,start,end,a\n"


def labelled(root, text):
    root.mkdir(exist_ok=True)
    (root / "labels.csv").write_text(text)
    return LabelledFolder(root)


@pytest.mark.parametrize("column", ["end", "seconds"])
def test_rows_of_one_file_are_clips_of_their_own(tmp_path, column):
    ends = {"end": ("2.5", "4"), "seconds": ("2.5", "1.5")}[column]
    dataset = labelled(
        tmp_path,
        f"path,split,start,{column},mood\na.wav,train,0,{ends[0]},x\na.wav,train,2.5,{ends[1]},y\n"
        f"b.wav,valid,,,x\nc.wav,test,2.5,{ends[1]},y\n",
    )
    for name in "abc":
        (tmp_path / f"{name}.wav").write_bytes(b"x")
    clips = dataset.clips()
    assert [clip.id for clip in clips] == ["a.wav#t=0,2.5", "a.wav#t=2.5,4", "b.wav", "c.wav#t=2.5,4"]
    assert [clip.excerpt for clip in clips] == [(0, 2.5), (2.5, 4), None, (2.5, 4)]
    assert [clip.promised for clip in clips] == [2.5, 1.5, None, 1.5]
    assert [clip.recording for clip in clips] == ["a.wav", "a.wav", "", "c.wav"]
    assert dataset.audio_files() == [tmp_path / f"{name}.wav" for name in "abc"]
    task = dataset.task()
    assert task.label_names == ("x", "y")
    assert task.groups.tolist() == ["a.wav", "a.wav", "b.wav", "c.wav"]
    assert dataset.locate("c.wav#t=2.5,4") == f"{tmp_path / 'labels.csv'}:5"


def test_an_end_without_a_start_is_a_label(tmp_path):
    task = labelled(tmp_path, "path,split,end,seconds\na,train,1.5,3\nb,valid,2,4\nc,test,3,5\n").task()
    assert task.label_names == ("end", "seconds")
    assert task.labels.tolist() == [[1.5, 3], [2, 4], [3, 5]]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (HEAD + "a,train,-1,2,1\n", 2, "column 'start' must be a number of seconds of at least 0, not '-1'"),
        (HEAD + "a,train,0,2,1\nb,test,0,1:30,1\n", 3, "column 'end' must be a number of seconds of at least 0"),
        (HEAD + "a,train,nan,2,1\n", 2, "column 'start' must be a number of seconds"),
        (HEAD + "a,train,2,,1\n", 2, "column 'end' must be a number of seconds of at least 0, not ''"),
        (HEAD + "a,train,2,2,1\n", 2, "the clip begins at 2 s and must end after that, not at 2 s"),
        (HEAD + "a,train,1,2,1\na,train,1.0,2,1\n", 3, "path 'a#t=1,2' is already in line 2"),
        (
            HEAD + "a,train,1,2,1\nb,,0,1,1\na,test,3,4,1\n",
            4,
            "'a' is in the test split, and in the train split by line 2",
        ),
        (
            "path,split,start,a\na,train,1,1\n",
            1,
            "beside column 'start', where clips begin, there must be one of 'end'",
        ),
        ("path,split,start,end,seconds,a\na,train,1,2,1,1\n", 1, "there must be one of 'end' and 'seconds'"),
    ],
)
def test_bad_times_are_named_by_file_and_line(tmp_path, text, line, message):
    with pytest.raises(DatasetError) as raised:
        labelled(tmp_path, text).clips()
    assert str(raised.value).startswith(f"{tmp_path / 'labels.csv'}:{line}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_end_beyond_the_file_is_found_in_its_header(tmp_path):
    text = HEAD + "a.wav,train,0,1,1\na.wav,train,1,2.04,0\na.mp3,valid,0,9,1\nnone.wav,test,0,9,0\n"
    dataset = labelled(tmp_path, text)
    for name in ("a.wav", "a.mp3"):
        soundfile.write(tmp_path / name, np.zeros(32_000), 16_000)
    check_excerpts(dataset)  # of MP3, headers say nothing that is sure; a file that is not there is missing
    dataset = labelled(tmp_path, text + "a.wav,train,1.5,2.5,1\n")
    with pytest.raises(UserError) as raised:
        check_excerpts(dataset)
    where = f"{tmp_path / 'labels.csv'}:6: "
    assert str(raised.value) == f"{where}the clip ends at 2.5 s, and its file a.wav at 2.00 s"


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), songs=st.integers(8, 14), named=st.booleans())
def test_folds_never_part_a_file(tmp_path_factory, seed, songs, named):
    rng = np.random.default_rng(seed)
    rows = ["path,start,end,recording,a"]
    for song in range(songs):
        recordings = [f"r{song}-{part}" if named else "" for part in range(rng.integers(1, 5))]
        rows += [f"{song}.wav,{at},{at + 1},{name},{rng.integers(0, 2)}" for at, name in enumerate(recordings)]
    dataset = labelled(tmp_path_factory.mktemp("folds"), "\n".join(rows) + "\n")
    task = divide(dataset.task(), dataset, 3)
    files = np.array([clip_id.partition("#")[0] for clip_id in task.clip_ids])
    for fold in task.folds:
        assert all(len(set(fold[files == file])) == 1 for file in files)


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        (
            "a,train,0.5,0.2\n",
            2,
            "must be at least 0 and sum to 1, and 0.5, 0.2 sum to 0.7; divide votes by their number",
        ),
        ("a,train,.5,.5\nb,valid,1.5,-0.5\n", 3, "must be at least 0 and sum to 1"),
        ("a,train,.5,half\n", 2, "column 'happy' must be a number, not 'half'"),
    ],
)
def test_shares_that_are_none_are_named(tmp_path, rows, line, message):
    text = "path,split,sad,happy\n" + rows + "y,valid,1,0\nz,test,1,0\n"
    with pytest.raises(DatasetError) as raised:
        labelled(tmp_path, text).task(kind="distribution")
    assert str(raised.value).startswith(f"{tmp_path / 'labels.csv'}:{line}: ")
    assert message in str(raised.value)


def test_shares_are_taken_as_such_only_if_asked_for(tmp_path):
    dataset = labelled(tmp_path, "path,split,sad,happy\na,train,0.33,0.66\nb,valid,1,0\nc,test,0.25,0.75\n")
    assert dataset.task().kind == "regression"
    task = dataset.task(kind="distribution")
    np.testing.assert_allclose(task.labels, [[1 / 3, 2 / 3], [1, 0], [0.25, 0.75]])


REGISTRY = """
datasets:
  mine: {class: tasks.folder:LabelledFolder, root: music}
tasks:
  my: {dataset: mine, options: {kind: distribution, columns: "low, middle, high"},
       metrics: [kl_divergence, intersection], corpus: magnatagatune, protocol: linear}
  bad: {dataset: mine, options: {columns: low}, metrics: [accuracy], corpus: magnatagatune, protocol: linear}
"""
RATE = 22_050


def test_excerpts_with_distributions_are_scored_from_the_command_line(tmp_path):
    """Files of four tones, each a clip; the higher a tone, the more votes for high."""
    rng = np.random.default_rng(0)
    rows = ["path,split,start,seconds,low,middle,high"]
    t = np.arange(RATE) / RATE
    (tmp_path / "music").mkdir()
    for song in range(16):
        pitches = rng.uniform(0, 1, 4)
        tones = [np.sin(2 * np.pi * 200 * 20**pitch * t) for pitch in pitches]
        name = f"{song}.{'flac' if song % 2 else 'ogg'}"
        soundfile.write(tmp_path / "music" / name, 0.3 * np.concatenate(tones), RATE)
        split = "train" if song < 8 else "valid" if song < 12 else "test"
        for part, pitch in enumerate(pitches):
            votes = np.array([(1 - pitch) ** 2, 2 * pitch * (1 - pitch), pitch**2]).round(3)
            rows.append(f"{name},{split},{part},1,{','.join(f'{vote:g}' for vote in votes)}")
    (tmp_path / "music" / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    run = ("run", "--encoder", "mfcc", "--store", tmp_path / "store", "--task")
    (record,) = bench_json(*run, "my", cwd=tmp_path)
    assert record["n_scored"] == {"train": 32, "valid": 16, "test": 16}
    found = record["metrics"]["kl_divergence"]
    assert found["lower_is_better"]
    assert 0 <= found["lower"] < found["value"] < found["upper"] < found["floor"]
    common = record["metrics"]["intersection"]
    assert common["floor"] + 0.1 < common["lower"] < common["value"] < common["upper"] <= 1
    (kept,) = (tmp_path / "store" / "artifacts" / "score").glob("*/predictions.npz")
    with np.load(kept) as arrays:
        labels, predictions = arrays["labels"], arrays["predictions"]
        assert arrays["groups"].tolist() == [
            f"{song}.{'flac' if song % 2 else 'ogg'}" for song in range(12, 16) for _ in "1234"
        ]
    np.testing.assert_allclose(predictions.sum(axis=1), 1, atol=1e-5)
    assert found["value"] == pytest.approx(rel_entr(labels, predictions.astype(float)).sum(axis=1).mean(), abs=1e-6)
    train = [np.array(row.split(",")[4:], dtype=float) for row in rows[1:] if ",train," in row]
    train = np.array([row / row.sum() for row in train])
    assert found["floor"] == pytest.approx(kl_divergence(labels, np.tile(train.mean(axis=0), (16, 1)))[0])

    shown = bench(*run, "my", cwd=tmp_path)
    assert "of KL divergence less is better" in shown.stdout

    # What is wrong with a table is said before anything is decoded.
    refused = bench(*run[:3], "--store", tmp_path / "other", "--task", "bad", cwd=tmp_path)
    assert refused.returncode == 2
    assert "this task is regression; if its labels are multiclass, say `options: {kind: multiclass}`" in refused.stderr
    for row, message, dry in (
        (
            "1.flac,train,3.5,1,0,0,1",
            "labels.csv:66: the clip ends at 4.5 s, and its file 1.flac at 4.00 s",
            ["--dry-run"],
        ),
        (
            "1.flac,test,0,0.5,0,0,1",
            "labels.csv:66: '1.flac' is in the test split, and in the train split by line 6",
            [],
        ),
    ):
        (tmp_path / "music" / "labels.csv").write_text("\n".join([*rows, row]) + "\n")
        refused = bench(*run[:3], "--store", tmp_path / "other", "--task", "my", *dry, cwd=tmp_path)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert "decode" not in refused.stderr
