"""`bench data status`, `prepare` and `standin`, through the command line on files in MagnaTagATune's layout."""

import gzip
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import bench, bench_json, make_mtt, tone
from warm_command import Started

from benchmark.audio.unused_files import by_kind, summary
from benchmark.data.leaks import leaks, overlap
from benchmark.store.digests import YOUNG
from benchmark.store.pcm import read_lines
from tasks.base import Clip, Task
from tasks.targets import Tags

GENUINE = Path(__file__).parents[2] / "shared/datasets/magnatagatune"


def status(*arguments):
    document = bench_json("data", "status", *arguments)
    return {row["name"]: row for row in document["datasets"]}, document


@pytest.fixture
def damaged(mtt, tmp_path):
    data, paths = mtt
    paths["1"].unlink()
    paths["2"].write_bytes(b"")
    paths["3"].write_text("<html>")
    content = paths["4"].read_bytes()
    paths["4"].write_bytes(content[: len(content) // 2])
    (data / "magnatagatune/0/stranger.mp3").write_bytes(content)
    return data, paths


def test_what_is_there_and_what_is_not(damaged, tmp_path):
    data, paths = damaged
    root = data / "magnatagatune"
    found, document = status("magnatagatune", "--data", data, "--store", tmp_path / "store")
    row = found["magnatagatune"]
    assert document["data"] == str(data)
    assert (row["state"], row["root"], row["clips"]) == ("incomplete", str(root), 26)
    assert row["missing"] == [paths["1"].relative_to(root).as_posix()]
    assert row["broken"] == {
        paths["2"].relative_to(root).as_posix(): "empty file (0 bytes)",
        paths["3"].relative_to(root).as_posix(): "not readable as audio (a web page or other markup)",
    }
    assert row["unnamed"] == ["0/stranger.mp3"]
    assert row["known_bad"] == {}
    assert row["next"] == f"bench data download magnatagatune --data {data}"
    counts = {count["what"]: (count["found"], count["published"]) for count in row["counts"]}
    assert counts["mtt test clips"] == (8, 5_329)
    assert not (tmp_path / "store").exists()

    text = bench("data", "status", "magnatagatune", "--data", data).stdout
    assert "\n  25 of 26 clips are there\n" in text
    assert "\n  mtt test clips: 8, but 5,329 are published (CLMR, TUNe, jukemir)\n" in text
    assert f"\n  next: bench data download magnatagatune --data {data}\n" in text


def grow_old():
    """Let files that were just written become such whose hashes are believed."""
    time.sleep(YOUNG / 1e9)


def test_what_a_preparation_found_until_a_file_changes(damaged, tmp_path):
    data, paths = damaged
    places = ("--data", data, "--store", tmp_path / "store")
    grow_old()
    (made,) = bench_json("data", "prepare", "magnatagatune", "--sample-rate", 16_000, *places)
    assert (made["clips"], made["unusable"], made["odd"]) == (23, 3, 1)
    assert made["sample_rate"] == 16_000
    assert bench_json("data", "prepare", "magnatagatune", "--sample-rate", 16_000, *places) == [made]

    (prepared,) = status("magnatagatune", *places)[0]["magnatagatune"]["prepared"]
    assert (prepared["sample_rate"], prepared["clips"]) == (16_000, 23)
    assert sorted(reason.split(":")[0].split(" (")[0] for reason in prepared["problems"].values()) == [
        "cut short",
        "empty file",
        "missing",
        "not readable as audio",
    ]
    assert prepared["file"] == made["problems"]
    os.utime(paths["5"])
    assert status("magnatagatune", *places)[0]["magnatagatune"]["prepared"] == []


def test_problems_are_told_by_kind_with_a_few_examples_and_where_all_are_listed(mtt, tmp_path):
    data, paths = mtt
    content = paths["1"].read_bytes()
    for clip in ("1", "2", "3", "4", "5"):
        paths[clip].write_bytes(content[: len(content) // 2])
    for clip in ("6", "7"):
        paths[clip].write_bytes(b"")
    paths["8"].unlink()
    names = {clip: path.relative_to(data / "magnatagatune").as_posix() for clip, path in paths.items()}
    places = ("--data", data, "--store", tmp_path / "store")
    grow_old()
    done = bench("data", "prepare", "magnatagatune", *places)
    (made,) = bench_json("data", "prepare", "magnatagatune", *places)
    assert made["reasons"] == {"cut short": 5, "empty file (0 bytes)": 2, "missing": 1}
    listed = {row["path"]: row["reason"] for row in read_lines(Path(made["problems"]))}
    assert set(listed) == {names[str(clip)] for clip in range(1, 9)}

    rest = {path: reason.removeprefix("cut short: ") for path, reason in listed.items()}
    cut = [f"{names[clip]}: {rest[names[clip]]}" for clip in ("1", "2", "3")]
    told = ["5 cut short:", *(f"  {line}" for line in cut), "  and 2 more"]
    told += ["2 empty file (0 bytes):", f"  {names['6']}", f"  {names['7']}", "1 missing:", f"  {names['8']}"]
    _, *lines = done.stdout.splitlines()
    assert lines == [*(f"  {line}" for line in told), f"  all are listed in {made['problems']}"]
    # While it is decoded, the first few of each kind are named as well.
    said = done.stderr.splitlines()
    assert f"  {names['3']}: cut short: {rest[names['3']]}; used" in said
    assert "  and 2 more: cut short" in said
    assert f"  {names['7']}: empty file (0 bytes); left out" in said
    assert "  1 clips are missing" in said

    text = bench("data", "status", "magnatagatune", *places).stdout
    indented = "\n".join(f"    {line}" for line in told)
    assert f"\n  8 unusable or odd when decoded at 22,050 Hz:\n{indented}\n" in text
    assert f"    all are listed in {made['problems']}\n" in text


def test_kinds_of_reasons():
    reasons = {"a": "missing", "b": "stub: 3 s: really", "c": "stub: 4 s", "d\n\x1b": "stub: 5 s", "e": "stub: 6 s"}
    assert by_kind(reasons) == {
        "stub": {"b": "3 s: really", "c": "4 s", "d\n\x1b": "5 s", "e": "6 s"},
        "missing": {"a": ""},
    }
    assert list(summary(reasons)) == [
        *("4 stub:", "  b: 3 s: really", "  c: 4 s", "  d\\n\\x1b: 5 s", "  and 1 more"),
        *("1 missing:", "  a"),
    ]
    assert list(summary({})) == []


def test_a_folder_that_may_not_be_read_and_a_name_that_no_list_can_hold(mtt, tmp_path):
    data, _ = mtt
    strange = os.fsencode(data / "magnatagatune/0") + b"/\xff.mp3"
    with open(strange, "wb"):
        pass
    found, _ = status("magnatagatune", "--data", data)
    assert found["magnatagatune"]["state"] == "unreadable"
    assert found["magnatagatune"]["reason"].endswith("magnatagatune/0/\\udcff.mp3: its name is not UTF-8; rename it")
    os.unlink(strange)
    if os.geteuid():  # root may read everything
        (data / "magnatagatune/0").chmod(0)
        found, _ = status("magnatagatune", "--data", data)
        (data / "magnatagatune/0").chmod(0o755)
        assert found["magnatagatune"]["reason"].endswith("magnatagatune/0: cannot be listed: Permission denied")


def test_prepare_makes_the_artifact_that_a_run_uses_and_says_what_is_next(mtt, tmp_path, tiny_registry):
    data, _ = mtt
    places = ("--data", data, "--store", tmp_path / "store")
    (made,) = bench_json("data", "prepare", "magnatagatune", *places)
    assert Path(made["path"]).name == made["key"]
    assert (made["clips"], made["bytes"] > 26 * 2 * 22_050 * 2) == (26, True)
    plan = bench_json(
        *("run", "--encoder", "tiny", "--recipe", "short", "--task", "mtt", "--dry-run"),
        *("--registry", tiny_registry),
        *places,
    )
    assert [(step["key"], step["state"]) for step in plan if step["kind"] == "prepare"] == [(made["key"], "cached")]
    row = status("magnatagatune", *places)[0]["magnatagatune"]
    assert (row["state"], row["next"]) == ("complete", f"bench data prepare magnatagatune --data {data}")


def test_an_interrupted_command_goes_on(tmp_path):
    data = tmp_path / "data"
    paths = make_mtt(data / "magnatagatune", {"0": 6, "c": 2, "d": 2})
    # While this one is decoded, the last, there is time to press Ctrl-C.
    soundfile.write(paths["10"], np.tile(tone(2, 44_100, 1), 400), 44_100, format="WAV")
    command = ["data", "prepare", "magnatagatune", "--data", data, "--store", tmp_path / "store"]
    process = Started(command, tmp_path / "out.txt", tmp_path / "err.txt")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        journal = list((tmp_path / "store/unfinished").glob("prepare-*/journal.jsonl"))
        if journal and journal[0].stat().st_size:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert (tmp_path / "err.txt").read_text().endswith("bench: stopped; the same command goes on from here\n")
    done = bench(*command)
    assert done.returncode == 0, done.stderr
    assert re.search(r"going on from [1-9]", done.stderr)
    assert "10 clips" in done.stdout


def test_a_dataset_that_cannot_be_read_does_not_stop_the_others(mtt, tmp_path):
    data, _ = mtt
    overlay = tmp_path / "registry.yaml"
    overlay.write_text(
        "datasets:\n  other: {class: 'tasks.magnatagatune:MagnaTagATune', root: other}\n"
        "  gone: {class: 'tasks.magnatagatune:MagnaTagATune', root: gone}\n  lost: {class: 'no.such:Class'}\n"
        "  odd: {class: 'pathlib:Path'}\n"
    )
    other = tmp_path / "other"
    make_mtt(other, {"0": 1, "c": 1, "d": 1})
    table = other / "annotations_final.csv"
    table.write_text(table.read_text().replace('"1"', '"7"'))
    names = ("other", "gone", "lost", "odd", "magnatagatune")
    found, _ = status(*names, "--data", data, "--registry", overlay)
    assert {name: found[name]["state"] for name in names} == {
        "other": "unreadable",
        "gone": "not found",
        "lost": "unreadable",
        "odd": "unreadable",
        "magnatagatune": "complete",
    }
    assert found["other"]["reason"].startswith(f"{table}:3: column 'classical' must be 0 or 1")
    assert "cannot import no.such:Class" in found["lost"]["reason"]
    assert "pathlib:Path is no subclass of tasks.base.Dataset" in found["odd"]["reason"]


def test_next_commands_can_be_typed_and_say_no_more_than_is_needed(tmp_path):
    make_mtt(tmp_path / "my data" / "magnatagatune", {"0": 4, "c": 1, "d": 3})
    (tmp_path / "registry.yaml").write_text(
        "datasets:\n  my own: {class: 'tasks.magnatagatune:MagnaTagATune', root: my data/magnatagatune}\n"
    )
    overlay = ("--registry", tmp_path / "registry.yaml")
    found, _ = status("magnatagatune", "my own", "--data", tmp_path / "my data", *overlay)
    assert found["magnatagatune"]["next"] == f"bench data prepare magnatagatune --data '{tmp_path}/my data'"
    assert found["my own"]["next"] == "bench data prepare 'my own'"
    done = bench("data", "prepare", "my own", "--store", tmp_path / "store", *overlay)
    assert (done.returncode, "STAND-IN" in done.stderr) == (0, False), done.stderr


def test_without_data_the_stand_in_is_named():
    text = bench("data", "status").stdout
    assert "STAND-INS" in text
    assert "BENCH_DATA=DIR" in text
    assert "magnatagatune: stand-in" in text
    unknown = bench("data", "status", "magnatagatun")
    assert unknown.returncode == 2
    assert "Did you mean 'magnatagatune'?" in unknown.stderr


def clip(name, split, artist="", recording=""):
    return Clip(name, f"{name}.wav", split, artist=artist, recording=recording)


def test_leaks_by_hand():
    clips = [
        clip("1", "train", "Ann"),
        clip("2", "train", "Bob"),
        clip("3", "valid", "Ann"),
        clip("4", "test", "Ann"),
        clip("5", "test", "Ann"),
        clip("6", "test", "Cyd"),
        clip("7", "test"),
        clip("8", None, "Cyd"),
    ]
    used = clips[:7]
    task = Task(
        clip_ids=tuple(c.id for c in used),
        splits=np.array([c.split for c in used]),
        targets=Tags(("x",), np.zeros((7, 1))),
        groups=np.array([c.id for c in used]),
    )
    found = {(leak.group, leak.split, leak.other): leak for leak in leaks("t", task, clips)}
    assert {group for group, _, _ in found} == {"artist"}
    test = found["artist", "test", "train"]
    assert (test.groups, test.groups_shared, test.clips, test.clips_shared, test.clips_unknown) == (2, 1, 4, 2, 1)
    assert found["artist", "test", "valid"].clips_shared == 2
    assert found["artist", "valid", "train"].groups_shared == 1


def test_overlap_within_a_dataset_and_by_names_across_two():
    test = [
        clip("1", "test", "Béla & Co.", "Béla & Co. / Song"),
        clip("2", "test", "Ann", "Ann / Air"),
        clip("3", "test"),
    ]
    corpus = [clip("1", None, "bela co", "BELA CO - Song"), clip("9", None, "Zoe", "Zoe / Zoo"), clip("8", None)]
    across = overlap("t", test, "c", corpus, same_dataset=False)
    assert (across.clips, across.same_clips, across.same_recordings, across.same_artists) == (3, 0, 1, 1)
    within = overlap("t", test, "c", [*corpus, test[1]], same_dataset=True)
    assert (within.same_clips, within.same_recordings, within.same_artists) == (2, 1, 1)


@pytest.mark.skipif(not GENUINE.is_dir(), reason="needs the genuine tables, which may not be shipped")
def test_leaks_of_the_genuine_magnatagatune(tmp_path):
    root = tmp_path / "magnatagatune"
    (root / "0").mkdir(parents=True)
    for table in ("annotations_final.csv", "clip_info_final.csv"):
        (root / table).write_bytes(gzip.decompress((GENUINE / f"{table}.gz").read_bytes()))
    found, document = status("magnatagatune", "--data", tmp_path)
    row = found["magnatagatune"]
    (leak,) = [
        leak
        for leak in row["leaks"]
        if (leak["task"], leak["group"], leak["split"], leak["other"]) == ("mtt", "artist", "test", "train")
    ]
    assert (leak["groups_shared"], leak["groups"], leak["clips_shared"], leak["clips"]) == (45, 75, 3_284, 5_329)
    assert not any(leak["groups_shared"] for leak in row["leaks"] if leak["group"] == "album")
    assert all(count["found"] == count["published"] for count in row["counts"])
    (shared,) = [row for row in document["overlaps"] if (row["task"], row["corpus"]) == ("mtt", "magnatagatune")]
    assert (shared["same_clips"], shared["same_artists"]) == (0, 3_284)
    assert len(row["missing"]) == 25_863


FAKING = """
import sys
sys.path.append({here!r})
from loopback import FakeDataset

class Imitated(FakeDataset):
    STANDIN = __name__

class Incomplete(FakeDataset):
    STANDIN = "faking_elsewhere"

def write(root, seed, progress=None):
    (root / "audio").mkdir()
    (root / "audio/a.wav").write_text(f"seed {{seed}}")
    progress(2, 2)

def extent():
    return 2, 2.0
"""


def test_a_stand_in_to_look_at(tmp_path):
    (tmp_path / "faking.py").write_text(FAKING.format(here=str(Path(__file__).parent)))
    overlay = tmp_path / "registry.yaml"
    classes = {"imitated": "Imitated", "genuine": "FakeDataset", "incomplete": "Incomplete"}
    overlay.write_text("datasets:\n" + "".join(f"  {name}: {{class: 'faking:{c}'}}\n" for name, c in classes.items()))
    folder = tmp_path / "new" / "standin"
    options = ("data", "standin", "imitated", folder, "--registry", overlay)
    done = bench(*options, "--seed", 7)
    assert done.returncode == 0, done.stderr
    notice = "Synthetic music made by bench in the layout of fake (seed 7). It is not the dataset; scores on it mean "
    assert (folder / "STAND-IN.txt").read_text() == f"{notice}nothing outside bench.\n"
    assert (folder / "audio/a.wav").read_text() == "seed 7"
    assert os.listdir(folder.parent) == ["standin"]
    again = bench(*options)
    assert again.returncode == 2
    assert again.stderr.splitlines()[2:] == [
        f"bench: {folder}: is there already and is no empty folder; name another one"
    ]
    for name, complaint in (
        ("genuine", f"bench: {overlay}:3: genuine: has no stand-in; name the folder of its data by --data, or by "),
        (
            "incomplete",
            f"bench: {overlay}:4: incomplete: STANDIN names faking_elsewhere, which must lie in the module ",
        ),
    ):
        none = bench("data", "standin", name, tmp_path / "none", "--registry", overlay)
        assert none.returncode == 2
        assert none.stderr.splitlines()[-1].startswith(complaint)
        assert not (tmp_path / "none").exists()
