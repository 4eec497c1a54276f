"""Tables of labels as people have them: dialects, names of columns and files, kinds of cells, and no table at all."""

import unicodedata

import numpy as np
import pytest
import soundfile
from conftest import tone
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import DatasetError
from tasks.class_folders import by_folders, by_names
from tasks.folder import LabelledFolder
from tasks.label_columns import number_in
from tasks.named_files import NamedFiles


def folder(root, *paths, table=None, name="labels.csv", encoding="utf-8"):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    if table is not None:
        (root / name).write_bytes(table.encode(encoding))
    return LabelledFolder(root, name)


ROWS = (("a.wav", "train", "x"), ("b.wav", "valid", "y"), ("c.wav", "test", "x"))


def written(delimiter, header=("path", "split", "mood"), rows=ROWS, before=""):
    return before + "".join(delimiter.join(row) + "\r\n" for row in (header, *rows))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("before", ["", "sep={}\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_fields_are_separated_by_what_the_header_holds_most_of(tmp_path, delimiter, before, encoding):
    task = folder(tmp_path, table=written(delimiter, before=before.format(delimiter)), encoding=encoding).task()
    assert (task.clip_ids, task.label_names) == (("a.wav", "b.wav", "c.wav"), ("x", "y"))
    assert task.splits.tolist() == ["train", "valid", "test"]


@pytest.mark.parametrize(
    "name", ["Path", "file", "File Name", "file_path", "audio", "Audio-File", "fname", "clip title"]
)
def test_the_column_of_files_is_known_by_usual_names_or_by_its_cells(tmp_path, name):
    table = written(",", (name, "Split", "mood"))
    assert folder(tmp_path, table=table).task().clip_ids == ("a.wav", "b.wav", "c.wav")


def test_a_column_of_files_that_cannot_be_told_is_asked_for(tmp_path):
    with pytest.raises(DatasetError, match=r"labels\.csv:1: columns 'file' and 'audio' may name the files"):
        folder(tmp_path, table=written(",", ("file", "audio", "mood"), [("a", "b", "x")])).clips()
    with pytest.raises(DatasetError, match=r"labels\.csv:1: no column 'path', .*; there are 'title', 'split', 'mood'"):
        folder(tmp_path, table=written(",", ("title", "split", "mood"), [("a", "test", "x")])).clips()


def test_splits_have_other_names_and_other_columns(tmp_path):
    rows = [("a.wav", "Training", "x"), ("b.wav", "val", "y"), ("c.wav", "TEST", "x")]
    for column in ("Split", "subset", "Set", "partition"):
        task = folder(tmp_path, table=written(",", ("file", column, "mood"), rows)).task()
        assert task.splits.tolist() == ["train", "valid", "test"]
    # A column of that name that holds something else is a label.
    dataset = folder(tmp_path, table="path,set\na.wav,1\nb.wav,2\n")
    assert (dataset.label_columns(), dataset.clips()[0].split) == (["set"], None)


def test_what_spreadsheets_and_data_frames_add_is_passed_over(tmp_path):
    table = ",path,mood,\n0,a.wav,x,\n1,b.wav,y,\n,,,\n2,c.wav,x,\n"
    dataset = folder(tmp_path, table=table)
    assert (dataset.label_columns(), len(dataset.clips())) == (["mood"], 3)
    with pytest.raises(DatasetError, match=r"labels\.csv: a workbook or an archive, no text; save the table as CSV"):
        folder(tmp_path, table="PK\x03\x04").clips()
    (tmp_path / "labels.csv").write_bytes(b"path,mood\na.wav,caf\xe9\n")
    with pytest.raises(DatasetError, match=r"labels\.csv:2: not UTF-8 text.*save the table as CSV in UTF-8"):
        LabelledFolder(tmp_path).clips()


def test_artists_and_albums_are_known_in_any_case_and_other_columns_may_have_gaps(tmp_path):
    dataset = folder(tmp_path, table="File,Artist Name,ALBUM,mood,remark\na.wav,Ann,One,x,\nb.wav,Bob,,y,good\n")
    assert [(clip.artist, clip.album) for clip in dataset.clips()] == [("Ann", "One"), ("Bob", "")]
    assert dataset.task(columns="mood").label_names == ("x", "y")
    with pytest.raises(DatasetError, match=r"labels\.csv:2: column 'remark' is empty; a clip needs a label"):
        dataset.task(columns="remark")


@pytest.mark.parametrize(
    ("named", "there"),
    [
        (unicodedata.normalize("NFC", "Café/Ä.wav"), unicodedata.normalize("NFD", "Café/Ä.wav")),
        ("song.wav", "song.WAV"),
        ("Song.mp3", "song.MP3"),
        ("album/song.wav", "music/album/song.wav"),
        ("song.wav", "deep/down/song.wav"),
        ("music/album/song.wav", "album/song.wav"),
        ("album\\song.wav", "album/song.wav"),
        ("./song.wav", "song.wav"),
        ("/home/somebody/music/song.wav", "song.wav"),
        ("C:\\Users\\somebody\\song.wav", "song.wav"),
        ("song", "song.flac"),
        ("song.v2", "song.v2.mp3"),
    ],
)
def test_files_are_found_under_names_that_mean_them(tmp_path, named, there):
    dataset = folder(tmp_path, there, table=f"path,mood\n{named},x\n")
    assert [clip.path for clip in dataset.clips()] == [there]
    assert dataset.audio_files() == [tmp_path / there]


def test_a_file_of_the_very_name_comes_first_and_of_several_one_must_be_named(tmp_path):
    dataset = folder(tmp_path, "a.wav", "A.wav", "1/b.wav", "2/b.wav", table="path,mood\na.wav,x\n")
    assert [clip.path for clip in dataset.clips()] == ["a.wav"]
    dataset = folder(tmp_path, table="path,mood\nb.wav,x\n")
    with pytest.raises(DatasetError, match=r"labels\.csv:2: 'b\.wav' may be '1/b\.wav', '2/b\.wav'; name one of them"):
        dataset.clips()
    dataset = folder(tmp_path, table="path,mood\n1/b.wav,x\n1/B.WAV,y\n")
    with pytest.raises(DatasetError, match=r":3: path '1/B\.WAV' is the file '1/b\.wav', as '1/b\.wav' is in line 2"):
        dataset.clips()
    assert NamedFiles(tmp_path).find("none.wav", "x") == "none.wav"
    with pytest.raises(DatasetError, match=r":2: path must lead to a file below"):
        folder(tmp_path, table="path,mood\n/elsewhere/none.wav,x\n").clips()


def test_a_table_one_folder_too_deep_is_found_with_its_files(tmp_path):
    folder(tmp_path / "unzipped", "a.wav", table="path,mood\na.wav,x\n")
    dataset = LabelledFolder(tmp_path)
    dataset.check()
    assert [clip.path for clip in dataset.clips()] == ["unzipped/a.wav"]


@given(number=st.floats(-1e6, 1e6), digits=st.integers(0, 6))
def test_numbers_are_read_with_a_point_and_with_a_comma(number, digits):
    text = f"{number:.{digits}f}"
    assert number_in(text) == number_in(text.replace(".", ",")) == float(text)


def values(tmp_path, *cells, **options):
    rows = [f"{n}.wav;{cell}" for n, cell in enumerate(cells)]
    return folder(tmp_path, table="\n".join(["path;energy", *rows])).task(**options)


def test_decimal_commas_are_numbers_unless_they_may_part_thousands(tmp_path):
    task = values(tmp_path, "0,5", "-1,25", "3")
    assert (task.kind, task.labels.ravel().tolist()) == ("regression", [0.5, -1.25, 3.0])
    for cells in (("1,234", "5"), ("0,5", "0.5")):
        with pytest.raises(DatasetError, match=r"labels\.csv:2: column 'energy' holds '.*', which may be "):
            values(tmp_path, *cells)
    assert values(tmp_path, "1,0", "0,0", "1,0").kind == "multilabel"


@pytest.mark.parametrize("cells", [("3", "1", "3"), ("0", "1", "1"), ("True", "False", "True"), ("1.0", "2.0", "1.0")])
def test_a_column_is_of_classes_where_the_metrics_are_for_classes(tmp_path, cells):
    rows = "".join(f"{n}.wav,{cell}\n" for n, cell in enumerate(cells))
    dataset = folder(tmp_path, table=f"path,sort\n{rows}")
    options = dataset.options_for("multiclass", {})
    assert options == {"kind": "multiclass"}
    task = dataset.task(**options)
    assert [task.label_names[place] for place in task.labels[:, 0]] == list(cells)
    # What is seen anyway needs no word, which would be another key.
    assert dataset.options_for(dataset.task().kind, {}) == {}
    assert dataset.options_for("multiclass", {"kind": "regression"}) == {"kind": "regression"}


def test_what_is_no_class_stays_what_it_is(tmp_path):
    dataset = folder(tmp_path, table="path,a,b\n1.wav,0.5,1\n2.wav,0.25,0\n")
    assert dataset.options_for("multiclass", {"columns": "a"}) == {"columns": "a"}
    assert dataset.options_for("multiclass", {}) == {}
    assert dataset.options_for("regression", {"columns": "b"}) == {"columns": "b", "kind": "regression"}
    text = folder(tmp_path, table="path,mood\n1.wav,x\n2.wav,y\n")
    assert text.options_for("multiclass", {}) == {}


def test_tags_that_share_a_cell_need_a_word_on_what_separates_them(tmp_path):
    dataset = folder(tmp_path, table="path,mood\n1.wav,calm|sad\n2.wav,\n3.wav, sad | wild|\n")
    task = dataset.task(separator="|")
    assert (task.kind, task.label_names) == ("multilabel", ("calm", "sad", "wild"))
    assert task.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
    dataset = folder(tmp_path, table="path,mood\n1.wav,calm\n2.wav,calm|sad\n")
    with pytest.raises(DatasetError) as raised:
        dataset.options_for("multilabel", {})
    where = f"{tmp_path / 'labels.csv'}:3: column 'mood' holds 'calm|sad', and tags are columns of 0 and 1; "
    assert str(raised.value) == where + ('for several tags in a cell say `options: {columns: mood, separator: "|"}`')
    two = folder(tmp_path, table="path,a,b\n1.wav,x,y\n")
    with pytest.raises(DatasetError, match=r"joined by '\|' must be in one column, and there are 'a', 'b'"):
        two.task(separator="|")


def test_folders_are_classes_where_there_is_no_table(tmp_path):
    paths = ["rock/a.wav", "rock/b.wav", "jazz/Ann/c.wav", "jazz/Ann/d.wav"]
    dataset = folder(tmp_path / "music", *paths)
    dataset.check()
    assert dataset.tables() == ()
    task = dataset.task()
    assert (task.label_names, set(task.splits)) == (("jazz", "rock"), {""})
    assert dict(zip(task.clip_ids, task.labels[:, 0].tolist(), strict=True)) == {
        path: int(path.startswith("rock")) for path in paths
    }
    assert {clip.path: clip.album for clip in dataset.clips()}["jazz/Ann/c.wav"] == "jazz/Ann"
    # A layer that all files share is none, and folders called like splits are splits.
    divided = [f"all/{split}/{path}" for split in ("train", "val", "test") for path in paths]
    task = folder(tmp_path / "divided", *divided).task()
    assert (task.label_names, sorted(set(task.splits))) == (("jazz", "rock"), ["test", "train", "valid"])
    with pytest.raises(DatasetError, match="put the files of each class into a folder of its own"):
        folder(tmp_path / "flat", "a.wav", "b.wav").check()
    with pytest.raises(DatasetError, match=r"stray\.wav: lies in no class's folder"):
        folder(tmp_path / "music", "stray.wav").task()


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("12"), st.sampled_from("ab")), min_size=1, unique=True)
)
def test_every_file_of_a_folder_has_its_class(parts):
    paths = ["/".join(one) + ".wav" for one in parts]
    found = by_folders(paths)
    assert [one.path for one in found] == paths
    if len({one[0] for one in parts}) > 1:
        assert [one.label for one in found] == [one[0] for one in parts]
        assert [one.album for one in found] == [f"{one[0]}/{one[1]}" for one in parts]
    else:
        assert len({one.label for one in found}) != 1 or {one.label for one in found} == {""}


def test_words_of_file_names_are_classes():
    paths = [f"{word}.{n:05}.wav" for word in ("blues", "rock") for n in range(4)]
    assert [one.label for one in by_names(paths)] == ["blues"] * 4 + ["rock"] * 4
    last = [f"{n:02} take {word}.wav" for word in ("kick", "snare") for n in range(3)]
    assert {one.label for one in by_names(last)} == {"kick", "snare"}
    assert {one.label for one in by_names(["a.wav", "b.wav", "c.wav", "d.wav"])} == {""}


def test_one_shots_are_scored(tmp_path):
    """Whole files of 0.3 s, in folders that are classes, under folds."""
    from conftest import bench_json

    for n in range(24):
        path = tmp_path / "drums" / ("low", "high")[n % 2] / f"{n}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        hz = (200, 2000)[n % 2]
        wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(6_600) / 22_050) + 0.01 * tone(0.3, 22_050, n)[:6_600]
        soundfile.write(path, wave, 22_050)
    (tmp_path / "registry.yaml").write_text(
        "datasets:\n  drums: {class: tasks.folder:LabelledFolder, root: drums}\n"
        "tasks:\n  pitch: {dataset: drums, folds: 3, metrics: [accuracy], corpus: magnatagatune, protocol: logistic}\n"
    )
    (record,) = bench_json("run", "--encoder", "mfcc", "--task", "pitch", "--store", tmp_path / "s", cwd=tmp_path)
    assert record["n_scored"] == {"test": 24}
    assert record["metrics"]["accuracy"]["value"] == 1.0
    assert record["coverage"] == {"kind": "multiclass", "labels": 2, "untested": [], "untrained": [], "folds": True}
    assert record["copies"] == 0
