"""`bench store`: listing, checking, tidying and copying, on stores made by hand and by runs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import bench, bench_json
from test_faults import BENCH
from test_faults import _obey_permissions as obey_permissions

from benchmark.engine import housekeeping
from benchmark.engine.housekeeping import abandoned, copy_missing, holdings, problems, remove, show, unwanted
from benchmark.errors import UserError
from benchmark.file_lock import FileLock
from benchmark.scores.score_index import INDEX, score_rows
from benchmark.store.store import Store

MFCC = ["run", "--encoder", "mfcc", "--task", "mtt"]


def fill(store: Store, key: str, content: bytes = b"hello") -> Path:
    work = store.work_folder("embed", key)
    work.mkdir(parents=True)
    (work / "a.bin").write_bytes(content)
    manifest = {
        "inputs": {},
        "title": f"title of {key}",
        "finished": "2026-01-01T00:00:00+00:00",
        "lineage": {key: {"kind": "embed", "spec": {}, "resources": {"seconds": 1.5}}},
    }
    return store.finish("embed", key, manifest).path


def test_holdings_and_show(tmp_path):
    store = Store(tmp_path / "s")
    fill(store, "a" * 40)
    fill(store, "ab" * 20, b"longer content")
    first, second = holdings(store)
    assert (first.kind, first.key, first.bytes, first.seconds) == ("embed", "a" * 40, 5, 1.5)
    assert second.bytes == 14
    assert show(store, "aaaaaaa")["title"] == f"title of {'a' * 40}"
    for key, message in (("aaaa", "at least the first 6"), ("bbbbbb", "no artifact whose key begins")):
        with pytest.raises(UserError, match=message):
            show(store, key)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "a.bin").write_bytes(b"hell"), "a.bin has 4 bytes instead of 5"),
        (lambda f: (f / "a.bin").write_bytes(b"hellO"), "a.bin has another content"),
        (lambda f: (f / "a.bin").unlink(), "a.bin is missing"),
        (lambda f: (f / "extra").write_text("x"), "extra does not belong to it"),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest cannot be read"),
        (lambda f: f.rename(f.with_name("f" * 40)), "moved"),
        (lambda f: edit(f, lambda m: m["files"].update({"../../../x": {"bytes": 1, "sha256": ""}})), "a path outside"),
        (lambda f: edit(f, lambda m: m.update(digest="0" * 64)), "its manifest was changed"),
    ],
)
def test_verify_names_every_kind_of_damage(tmp_path, damage, message):
    store = Store(tmp_path / "s")
    folder = fill(store, "a" * 40)
    assert problems(folder) == []
    damage(folder)
    (found,) = (tmp_path / "s" / "artifacts" / "embed").iterdir()
    assert message in "; ".join(problems(found))
    result = bench("store", "verify", "--store", tmp_path / "s")
    assert result.returncode == 1
    assert message in result.stdout
    assert "0 of 1 artifacts are whole" in result.stdout
    copied, refused = copy_missing(store, Store(tmp_path / "t"), lambda _: None)
    assert copied == 0
    assert message in refused[0]


def edit(folder: Path, change) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: edit(f, lambda m: m["files"].update({"/etc/hosts": {"bytes": 1, "sha256": ""}})), "a path outside"),
        (lambda f: edit(f, lambda m: m.pop("digest")), "manifest cannot be read"),
        (lambda f: edit(f, lambda m: m.update(files=["a.bin"])), "manifest cannot be read"),
        (lambda f: edit(f, lambda m: m["files"].update({"a.bin": None})), "manifest cannot be read"),
        (lambda f: (f / "manifest.json").write_text("[" * 100_000), "manifest cannot be read"),
        (lambda f: (f / "sub").symlink_to("/etc"), "'sub' is a link"),
        (lambda f: replace_by_link(f / "a.bin"), "'a.bin' is a link"),
        (lambda f: replace_by_link(f / "manifest.json"), "'manifest.json' is a link"),
    ],
)
def test_what_a_stranger_made_to_do_harm_is_refused(tmp_path, harm, message):
    store, other = Store(tmp_path / "s"), Store(tmp_path / "t")
    folder = fill(store, "a" * 40)
    harm(folder)
    assert message in "; ".join(problems(folder))
    assert copy_missing(store, other, lambda _: None)[0] == 0
    assert holdings(other) == []


def replace_by_link(file: Path) -> None:
    """Same content, but somebody else's file."""
    target = file.parents[4] / f"somewhere-{file.name}"
    file.rename(target)
    file.symlink_to(target)


def test_nothing_is_deleted_or_copied_through_links(tmp_path):
    store = Store(tmp_path / "s")
    fill(store, "a" * 40)
    home = tmp_path / "home"
    (home / "letters").mkdir(parents=True)
    (home / "letters" / "dear.txt").write_text("dear")
    # A whole artifact elsewhere, and a folder of somebody's, that a stranger's store calls its own.
    (tmp_path / "s" / "artifacts" / "embed" / ("b" * 40)).symlink_to(home / "letters")
    (tmp_path / "s" / "unfinished" / "left").symlink_to(home / "letters")
    assert [each.key for each in holdings(store)] == ["a" * 40]
    refused = f"embed/{'b' * 40}: {'b' * 40!r} is a link; artifacts hold none"
    assert copy_missing(store, Store(tmp_path / "t"), lambda _: None) == (1, [refused])
    remove(store, [*unwanted(store, []), *abandoned(store)])
    assert holdings(store) == []
    assert not (tmp_path / "s" / "unfinished" / "left").is_symlink()
    for place in ("artifacts/probe", "unfinished"):
        link = tmp_path / "s" / place
        if link.exists():
            shutil.rmtree(link)
        link.symlink_to(home)
        for listed in (lambda: unwanted(store, []), lambda: abandoned(store)):
            with pytest.raises(UserError, match="nothing is deleted through links"):
                listed()
        link.unlink()
    assert (home / "letters" / "dear.txt").read_text() == "dear"


def test_a_strangers_words_do_not_command_the_terminal(tmp_path):
    store = Store(tmp_path / "s")
    edit(fill(store, "a" * 40), lambda m: m.update(title="\x1b[2Jgone", kind="other", finished="today\r"))
    (found,) = holdings(store)
    assert (found.title, found.finished, found.kind) == ("\\x1b[2Jgone", "today\\r", "embed")
    edit(fill(store, "b" * 40), lambda m: m.update(files=[]))
    (tmp_path / "s" / "artifacts" / "embed" / ("b" * 40) / "manifest.json").write_text("[" * 100_000)
    assert len(holdings(store)) == 1
    assert store.find("embed", "b" * 40) is None


def test_a_manifest_that_names_paths_outside_is_not_believed(tmp_path):
    store = Store(tmp_path / "s")
    folder = fill(store, "a" * 40)
    (tmp_path / "secret").write_text("x")
    facts = {"bytes": 1, "sha256": "", "modified": (tmp_path / "secret").stat().st_mtime_ns}
    edit(folder, lambda m: m["files"].update({"../../../../secret": facts}))
    assert store.find("embed", "a" * 40) is None


def test_copies_are_whole_artifacts(tmp_path):
    store, other = Store(tmp_path / "s"), Store(tmp_path / "t")
    fill(store, "a" * 40)
    assert copy_missing(store, other, lambda _: None) == (1, [])
    assert copy_missing(store, other, lambda _: None) == (0, [])
    assert other.find("embed", "a" * 40).digest == store.find("embed", "a" * 40).digest
    assert list((tmp_path / "t" / "unfinished").iterdir()) == []


def test_what_is_locked_is_not_abandoned(tmp_path):
    store = Store(tmp_path / "s")
    for key in ("one", "two"):
        store.work_folder("embed", key).mkdir(parents=True)
    with FileLock(store.lock_file("embed", "one")):
        assert [path.name for path in abandoned(store)] == ["embed-two"]


def test_a_run_store_through_the_commands(mtt, tmp_path):
    data, _ = mtt
    store = tmp_path / "store"
    records = bench_json(*MFCC, "--task", "mtt-tagged", "--data", data, "--store", store)
    listed = bench_json("store", "ls", "--store", store)
    assert sorted(each["kind"] for each in listed) == [
        "embed",
        "initialise",
        "label",
        "label",
        "prepare",
        "probe",
        "probe",
        "score",
        "score",
    ]
    assert [each["kind"] for each in bench_json("store", "ls", "--kind", "embed", "--store", store)] == ["embed"]
    assert "9 artifacts" in bench("store", "ls", "--store", store).stdout
    assert bench("store", "verify", "--store", store).returncode == 0

    key = next(each["key"] for each in listed if each["kind"] == "score")
    assert json.loads(bench("store", "show", key[:10], "--store", store).stdout)["key"] == key

    exported = tmp_path / "scores.csv"
    assert bench("store", "export", exported, "--store", store).returncode == 0
    header, *rows = exported.read_text().splitlines()
    assert header.startswith(
        "key,encoder,corpus,recipe,protocol,task,metric,seed,layer,labels,draw,shots,deform,limit,score"
    )
    values = {float(row.split(",")[header.split(",").index("score")]) for row in rows}
    assert values == {record["metrics"]["roc_auc"]["value"] for record in records}

    assert "9 artifacts copied" in bench("store", "push", tmp_path / "copy", "--store", store).stdout
    again = bench_json(*MFCC, "--data", data, "--store", tmp_path / "copy")
    assert again == records[:1]

    study = tmp_path / "study.yaml"
    study.write_text("name: kept\ngrid: {encoder: mfcc, task: mtt}\n")
    options = ["store", "gc", "--keep", study, "--data", data, "--store", store]
    assert "would delete 0 folders" in bench(*options, "--dry-run").stdout  # all of it is recent
    options += ["--recent", "0"]
    assert "would delete 3 folders" in bench(*options, "--dry-run").stdout
    assert "deleted 3 folders" in bench(*options).stdout
    assert sorted(each["kind"] for each in bench_json("store", "ls", "--store", store)) == [
        "embed", "initialise", "label", "prepare", "probe", "score"
    ]  # fmt: skip
    assert len(score_rows(store)) == len(records[0]["metrics"])


def test_records_are_read_once_and_never_again(mtt, tmp_path, monkeypatch):
    data, _ = mtt
    store = tmp_path / "store"
    bench_json(*MFCC, "--data", data, "--store", store)
    folder = next((store / "artifacts" / "score").iterdir())
    text = (folder / "record.json").read_text()
    for number in range(2_000):
        copy = folder.with_name(f"{number:040}")
        copy.mkdir()
        (copy / "record.json").write_text(
            text.replace('"seed":0', f'"seed":{number}').replace('"seed": 0', f'"seed": {number}')
        )
    rows = score_rows(store)
    assert len({row["seed"] for row in rows}) >= 2_000
    # None is read again.
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.scores.score_index._rows", lambda file: pytest.fail(f"reads {file}"))
        assert score_rows(store) == rows
    (store / INDEX).write_text("garbage")
    assert score_rows(store) == rows


def test_a_copy_under_way_is_nobodys_leftover(tmp_path, monkeypatch):
    store, other = Store(tmp_path / "s"), Store(tmp_path / "t")
    fill(store, "a" * 40)
    copytree, seen = shutil.copytree, []

    def slowly(source, target, symlinks):
        copytree(source, target, symlinks)
        seen.extend(abandoned(other))
        # As a `gc` that listed it before the copy began.
        seen.extend(remove(other, [target]))

    monkeypatch.setattr(housekeeping.shutil, "copytree", slowly)
    assert copy_missing(store, other, lambda _: None) == (1, [])
    assert seen == []
    assert other.find("embed", "a" * 40) is not None
    assert list((tmp_path / "t" / "unfinished").iterdir()) == []


def test_what_is_taken_up_again_stays(tmp_path):
    store = Store(tmp_path / "s")
    work = store.work_folder("embed", "one")
    work.mkdir(parents=True)
    assert abandoned(store) == [work]
    with FileLock(store.lock_file("embed", "one")):
        assert remove(store, [work]) == []
    assert work.is_dir()
    assert remove(store, [work]) == [work]
    assert not work.exists()


def test_scores_of_some_of_the_test_clips_are_kept_and_reported(mtt, tmp_path):
    data, paths = mtt
    paths["20"].unlink()
    store, study = tmp_path / "store", tmp_path / "study.yaml"
    study.write_text("name: kept\ngrid: {encoder: mfcc, task: mtt}\n")
    places = ("--data", data, "--store", store)
    assert bench("run", "--study", study, "--allow-missing", *places).returncode == 0
    before = {each["key"] for each in bench_json("store", "ls", "--store", store)}
    assert "deleted 0 folders" in bench("store", "gc", "--keep", study, *places).stdout
    assert {each["key"] for each in bench_json("store", "ls", "--store", store)} == before
    report = bench("report", "--study", study, *places, "--format", "json", "--output", "-")
    assert report.returncode == 0, report.stderr
    assert json.loads(report.stdout)["study"]["missing"] == []

    # Without --data the study rests on a stand-in, and everything would go.
    refused = bench("store", "gc", "--keep", study, "--store", store)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "holds results of the genuine magnatagatune" in refused.stderr
    assert {each["key"] for each in bench_json("store", "ls", "--store", store)} == before


def test_outputs_that_cannot_be_written_are_one_line(tmp_path):
    Store(tmp_path / "s")
    for output, message in ((tmp_path, "is a folder"), (tmp_path / "no" / "x", f"there is no folder {tmp_path}/no")):
        for command in (("store", "export", output), ("report", "--output", output)):
            result = bench(*command, "--store", tmp_path / "s")
            assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
            assert message in result.stderr


def test_tidying_a_store_that_cannot_be_written_is_one_line(tmp_path):
    store = Store(tmp_path / "s")
    store.work_folder("embed", "one").mkdir(parents=True)
    (tmp_path / "study.yaml").write_text("name: kept\ngrid: {encoder: mfcc, task: mtt}\n")
    command = [BENCH, "store", "gc", "--keep", tmp_path / "study.yaml", "--store", tmp_path / "s", "--dry-run"]
    (tmp_path / "s" / "unfinished").chmod(0o555)
    try:
        result = subprocess.run(command, capture_output=True, text=True, preexec_fn=obey_permissions, check=False)
    finally:
        (tmp_path / "s" / "unfinished").chmod(0o755)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert "cannot write: Permission denied" in result.stderr
