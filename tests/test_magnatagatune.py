"""MagnaTagATune's loader: on small hand-written layouts, and on the genuine tables where they are at hand."""

import csv
import gzip
import hashlib
import io
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import DatasetError
from tasks.magnatagatune import ANNOTATIONS, CLIP_INFO, FOLDER_SPLIT, NOT_IN_PUB, TOP_TAGS, MagnaTagATune

GENUINE = Path(__file__).parents[2] / "shared" / "datasets" / "magnatagatune"
KNOWN_BAD = "6/norine_braun-now_and_zen-08-gently-117-146.mp3"

EXTRA_TAGS = ("clasical", "lol")
TAGS = (*EXTRA_TAGS, *reversed(TOP_TAGS))
INFO = ("clip_id", "track_number", "title", "artist", "album", "url", "segmentStart", "segmentEnd", "mp3_path")


def table(rows, line_end="\r\n"):
    text = io.StringIO()
    csv.writer(text, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator=line_end).writerows(rows)
    return text.getvalue()


def annotation(clip_id, path, *tags):
    return [clip_id, *("1" if tag in tags else "0" for tag in TAGS), path]


HEADER = ["clip_id", *TAGS, "mp3_path"]
ROWS = [
    annotation("2", "f/a-30-59.mp3", "guitar", "lol"),
    annotation("6", "f/a-59-88.mp3", "lol"),
    annotation("10", "0/b-0-29.mp3", "choral", "guitar"),
    annotation("11", "b/c-0-29.mp3"),
    annotation("12", "c/d-0-29.mp3", "metal"),
    annotation("35644", KNOWN_BAD, "slow"),
]
INFO_ROWS = [
    ["2", "01", "Aria", "Band", "First", "", "30", "59", "f/a-30-59.mp3"],
    ["6", "01", "Aria", "Band", "First", "", "59", "88", "f/a-59-88.mp3"],
    ["7", "01", "Aria", "Band", "First", "", "88", "117", ""],
    ["10", "02", 'The "other" one', "Band", "Second", "", "0", "29", "0/b-0-29.mp3"],
    ["11", "02", "x", "Trio", "Second", "", "0", "29", "b/c-0-29.mp3"],
    ["12", "03", "y", "Trio", "Third", "", "0", "29", "c/d-0-29.mp3"],
]


def layout(root, annotations=None, info=None):
    """Write both tables, given as text, and the folders of the rows."""
    root.mkdir(exist_ok=True)
    for folder in "06bcf":
        (root / folder).mkdir(exist_ok=True)
    for name, text in (
        (ANNOTATIONS, table([HEADER, *ROWS]) if annotations is None else annotations),
        (CLIP_INFO, table([INFO, *INFO_ROWS]) if info is None else info),
    ):
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return MagnaTagATune(root)


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_clips_are_the_rows_in_table_order(tmp_path, line_end, mark):
    dataset = layout(
        tmp_path,
        mark + table([HEADER, *ROWS], line_end).encode(),
        mark + table([INFO, *INFO_ROWS], line_end).encode(),
    )
    clips = dataset.clips()
    assert [clip.id for clip in clips] == ["2", "6", "10", "11", "12", "35644"]
    assert [clip.split for clip in clips] == ["test", "test", "train", "train", "valid", None]
    assert clips[0].path == "f/a-30-59.mp3"
    assert (clips[0].artist, clips[0].album, clips[0].seconds) == ("Band", "First", 29.0)
    assert clips[0].recording == clips[1].recording != clips[2].recording
    # The same track number on an album of the same name by others is another recording.
    assert clips[2].album == clips[3].album
    assert clips[2].recording != clips[3].recording


def test_unquoted_tables_and_other_column_orders_work(tmp_path):
    moved = [[*row[1:], row[0]] for row in [HEADER, *ROWS]]
    dataset = layout(tmp_path, "\n".join("\t".join(row) for row in moved) + "\n")
    assert dataset.task().clip_ids == ("2", "6", "10", "11", "12")
    assert dataset.task().labels.sum() == 4


def test_a_clip_without_description_has_no_groups(tmp_path):
    clip = layout(tmp_path).clips()[-1]
    assert (clip.id, clip.artist, clip.album, clip.recording, clip.seconds) == ("35644", "", "", "", None)


def test_rows_without_audio_are_no_clips(tmp_path):
    dataset = layout(tmp_path, table([HEADER, annotation("1", "", "guitar"), *ROWS]))
    assert len(dataset.clips()) == 6
    assert "1" not in dataset.task().clip_ids


def test_untagged_clips_are_kept_or_dropped(tmp_path):
    dataset = layout(tmp_path)
    kept, dropped = dataset.task(), dataset.task(untagged="drop")
    assert kept.clip_ids == ("2", "6", "10", "11", "12")
    assert kept.splits.tolist() == ["test", "test", "train", "train", "valid"]
    # A tag outside the 50 does not make a clip a tagged one.
    assert dropped.clip_ids == ("2", "10", "12")
    assert dropped.splits.tolist() == ["test", "train", "valid"]
    assert kept.kind == "multilabel"
    assert kept.groups.tolist() == list(kept.clip_ids)


def test_labels_are_found_by_name(tmp_path):
    task = layout(tmp_path).task()
    assert task.label_names == TOP_TAGS
    assert task.labels.shape == (5, 50)
    found = [{TOP_TAGS[column] for column in np.flatnonzero(row)} for row in task.labels]
    assert found == [{"guitar"}, set(), {"guitar", "choral"}, set(), {"metal"}]


def test_known_bad_clips_have_no_split_and_no_labels(tmp_path):
    dataset = layout(tmp_path)
    assert len(MagnaTagATune.KNOWN_BAD) == 3
    assert dataset.clips()[-1].split is None
    assert "35644" not in dataset.task().clip_ids


def test_unknown_options_are_refused(tmp_path):
    dataset = layout(tmp_path)
    with pytest.raises(DatasetError, match="untagged must be 'keep' or 'drop', not 'both'"):
        dataset.task(untagged="both")
    with pytest.raises(DatasetError, match="no option 'splits'"):
        dataset.task(splits="pub")
    with pytest.raises(DatasetError, match="split must be 'folder' or 'pub', not 'pons'"):
        dataset.task(split="pons")
    with pytest.raises(DatasetError, match="it needs untagged 'drop'"):
        dataset.task(split="pub")


def _with(row, column, value):
    changed = list(row)
    changed[HEADER.index(column)] = value
    return changed


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ([HEADER, ROWS[0], ROWS[1][:-1]], 3, f"{len(HEADER) - 1} fields where the header has {len(HEADER)}"),
        ([HEADER, ROWS[0], [*ROWS[1], "x"]], 3, f"{len(HEADER) + 1} fields"),
        ([HEADER, _with(ROWS[0], "choir", "2")], 2, "column 'choir' must be 0 or 1, not '2'"),
        ([HEADER, *ROWS[:2], _with(ROWS[2], "lol", "")], 4, "column 'lol' must be 0 or 1, not ''"),
        ([HEADER, ROWS[0], _with(ROWS[1], "clip_id", "2")], 3, "clip_id '2' is already in line 2"),
        ([HEADER, ROWS[0], _with(ROWS[1], "mp3_path", "f/a-30-59.mp3")], 3, "is already in line 2"),
        ([[name for name in HEADER if name != "sitar"]], 1, "no column 'sitar'"),
        ([[name for name in HEADER if name != "mp3_path"]], 1, "no column 'mp3_path'"),
        ([[*HEADER, "harp"]], 1, "column 'harp' is there twice"),
        ([], 1, "the table is empty"),
        *(
            ([HEADER, ROWS[0], _with(ROWS[1], "mp3_path", path)], 3, "mp3_path must be FILE in a folder 0 to f")
            for path in ("/f/a.mp3", "f/../a.mp3", "../a.mp3", "g/a.mp3", "F/a.mp3", "a.mp3", "f/", "f/..", "f\\a.mp3")
        ),
    ],
)
def test_malformed_annotations_are_named_by_file_and_line(tmp_path, rows, line, message):
    dataset = layout(tmp_path, table(rows))
    with pytest.raises(DatasetError) as raised:
        dataset.task()
    assert str(raised.value).startswith(f"{tmp_path / ANNOTATIONS}:{line}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (table([INFO, INFO_ROWS[0], INFO_ROWS[0]]), 3, "clip_id '2' is there twice"),
        (table([INFO, [*INFO_ROWS[0][:6], "30", "end", ""]]), 2, "must be numbers, not '30' and 'end'"),
        (table([INFO, [*INFO_ROWS[0][:6], "30", "nan", ""]]), 2, "must be numbers, not '30' and 'nan'"),
        (table([INFO[:4]]), 1, "no column 'album', 'segmentStart', 'segmentEnd'"),
        ("clip_id,artist,album\n", 1, "no column 'clip_id'"),
        (table([INFO]) + '"2"\t"open', 2, "unexpected end of data"),
        (table([INFO]).encode() + b'"2"\t"\xff"', 2, "not UTF-8 text"),
    ],
)
def test_malformed_clip_info_is_named_by_file_and_line(tmp_path, text, line, message):
    dataset = layout(tmp_path, info=text)
    with pytest.raises(DatasetError) as raised:
        dataset.clips()
    assert re.match(rf"{re.escape(str(tmp_path / CLIP_INFO))}:{line}: .*{re.escape(message)}", str(raised.value))


def test_check_names_what_is_missing_and_how_to_get_it(tmp_path):
    dataset = layout(tmp_path / "magnatagatune")
    dataset.check()

    def complaint():
        with pytest.raises(DatasetError) as raised:
            dataset.check()
        assert "mirg.city.ac.uk" in str(raised.value)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    for folder in "06bcf":
        (dataset.root / folder).rmdir()
    assert "none of the audio folders 0 to f" in complaint()
    (dataset.root / CLIP_INFO).unlink()
    assert complaint().startswith(f"{dataset.root / CLIP_INFO}: no such table")
    (dataset.root / ANNOTATIONS).unlink()
    assert complaint().startswith(f"{dataset.root / ANNOTATIONS}: no such table")
    dataset.root.rmdir()
    assert complaint().startswith(f"{dataset.root}: no such folder")


def test_a_table_that_vanished_is_a_dataset_error(tmp_path):
    with pytest.raises(DatasetError, match=r"annotations_final\.csv: No such file"):
        MagnaTagATune(tmp_path).task()


def test_audio_files_are_all_files_of_the_sixteen_folders(tmp_path):
    dataset = layout(tmp_path)
    for name in ("f/b.mp3", "f/a.mp3", "0/readme.txt", "c/.hidden", "g.mp3"):
        (tmp_path / name).touch()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "c.mp3").touch()
    (tmp_path / "b" / "folder.mp3").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in dataset.audio_files()]
    assert found == ["0/readme.txt", "c/.hidden", "f/a.mp3", "f/b.mp3"]


def test_every_hexadecimal_folder_has_one_split():
    assert "".join(FOLDER_SPLIT) == "0123456789abcdef"
    assert Counter(FOLDER_SPLIT.values()) == {"train": 12, "valid": 1, "test": 3}


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("0123456789abcdef"),
            st.sets(st.sampled_from(TAGS), max_size=6),
            st.text(st.characters(codec="utf-8", exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1),
        ),
        max_size=8,
    )
)
def test_what_is_written_is_read(tmp_path_factory, rows):
    paths = [f"{folder}/{number}{name}" for number, (folder, _, name) in enumerate(rows)]
    written = [
        annotation(str(number), path, *tags)
        for number, ((_, tags, _), path) in enumerate(zip(rows, paths, strict=True))
    ]
    dataset = layout(tmp_path_factory.mktemp("mtt"), table([HEADER, *written]), table([INFO]))
    assert [clip.path for clip in dataset.clips()] == paths
    task = dataset.task()
    assert task.splits.tolist() == [FOLDER_SPLIT[folder] for folder, _, _ in rows]
    for row, (_, tags, _) in zip(task.labels, rows, strict=True):
        assert {TOP_TAGS[column] for column in np.flatnonzero(row)} == tags - set(EXTRA_TAGS)
    dropped = dataset.task(untagged="drop")
    assert dropped.labels.any(axis=1).all()
    assert len(dropped.clip_ids) == np.count_nonzero(task.labels.any(axis=1))


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    if not GENUINE.is_dir():
        pytest.skip("the genuine tables are not at hand")
    root = tmp_path_factory.mktemp("magnatagatune")
    for name in (ANNOTATIONS, CLIP_INFO):
        (root / name).write_bytes(gzip.decompress((GENUINE / f"{name}.gz").read_bytes()))
    return MagnaTagATune(root)


@pytest.mark.parametrize(
    ("untagged", "counts", "floor"),
    [
        ("keep", {"train": 18706, "valid": 1825, "test": 5329}, 0.0531),
        ("drop", {"train": 15247, "valid": 1529, "test": 4332}, 0.0653),
    ],
)
def test_genuine_counts_and_floor(genuine, untagged, counts, floor):
    task = genuine.task(untagged=untagged)
    assert Counter(task.splits.tolist()) == counts
    assert task.labels[task.splits == "test"].mean() == pytest.approx(floor, abs=5e-5)
    for split in counts:
        assert (task.labels[task.splits == split].sum(axis=0) > 0).all()


def test_genuine_clips(genuine):
    clips = genuine.clips()
    assert len(clips) == 25863
    assert Counter(clip.split for clip in clips) == {"train": 18706, "valid": 1825, "test": 5329, None: 3}
    assert {clip.id for clip in clips if clip.split is None} == {"35644", "55753", "57881"}
    assert {clip.path for clip in clips if clip.split is None} == set(MagnaTagATune.KNOWN_BAD)
    assert {clip.seconds for clip in clips} == {29.0}
    assert len({clip.artist for clip in clips}) == 230
    assert len({clip.album for clip in clips}) == 446
    assert len({clip.recording for clip in clips}) == 5405
    train, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    assert {clip.album for clip in train}.isdisjoint(clip.album for clip in test)
    shared = {clip.artist for clip in train} & {clip.artist for clip in test}
    assert (len(shared), len({clip.artist for clip in test})) == (45, 75)
    assert sum(clip.artist in shared for clip in test) == 3284


def test_genuine_labels_are_the_fifty_most_frequent_tags(genuine):
    assert (GENUINE / "top50_tags.txt").read_text().splitlines() == list(TOP_TAGS)
    with (GENUINE / "tag_counts.csv").open(newline="") as file:
        published = {row["tag"]: int(row["n_clips"]) for row in csv.DictReader(file)}
    task = genuine.task()
    # The three clips without audio carry tags in the published counts.
    missing = np.array([published[tag] for tag in TOP_TAGS]) - task.labels.sum(axis=0)
    assert missing.min() == 0
    assert missing.sum() <= 3 * 10
    assert (np.diff([published[tag] for tag in TOP_TAGS]) <= 0).all()


def test_genuine_clips_of_the_published_lists(genuine):
    task = genuine.task(untagged="drop", split="pub")
    with gzip.open(GENUINE / "splits.csv.gz", "rt", newline="") as file:
        published = {row["clip_id"]: row["pub_split"] for row in csv.DictReader(file) if row["pub_split"]}
    assert dict(zip(task.clip_ids, task.splits.tolist(), strict=True)) == published
    assert Counter(published.values()) == {"train": 15244, "valid": 1529, "test": 4332}
    assert {clip.split for clip in genuine.clips() if clip.id in NOT_IN_PUB} == {"train"}


def test_genuine_counts_are_the_published_ones(genuine):
    rows = genuine.counts()
    assert len(rows) == 10
    assert [row for row in rows if row.found != row.published] == []


def test_genuine_tables_have_the_published_checksums(genuine):
    for name, checksum in genuine.checksums().items():
        assert checksum == "sha256:" + hashlib.sha256((genuine.root / name).read_bytes()).hexdigest()
