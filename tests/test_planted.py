"""What is planted in a store that others can write to, or that somebody gave away, is refused by name, not followed."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from conftest import bench, bench_json

from benchmark import plain_files
from benchmark.console import LogReporter, Silent
from benchmark.data.download import download
from benchmark.engine.housekeeping import copy_missing, problems
from benchmark.errors import UserError
from benchmark.plain_files import PlantedError, check_work
from benchmark.plan.planner import Planner
from benchmark.plan.requests import Request, grid
from benchmark.registry.registry import load_registry
from benchmark.store.store import Store

#: The cheapest first step there is: the stand-in of this task's dataset.
RUN = ["run", "--encoder", "mfcc", "--task", "gtzan"]


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """Known to everyone."""
    planner = Planner(load_registry(), Store(tmp_path_factory.mktemp("s") / "s"), Silent(), None)
    (run,) = planner.runs(Request(grid(encoder="mfcc", task="gtzan", recipe="demo")))
    return next(step.key for step in run.score.lineage() if step.kind == "standin")


@pytest.fixture
def victim(tmp_path):
    """Files of somebody's beside the store, and what they must hold afterwards."""
    folder = tmp_path / "victim"
    (folder / "letters").mkdir(parents=True)
    (folder / "letters" / "dear.txt").write_text("dear")
    (folder / "rc").write_text("rc\n")
    yield folder
    assert {file.relative_to(folder).as_posix() for file in folder.rglob("*")} == {"letters", "letters/dear.txt", "rc"}
    assert (folder / "letters" / "dear.txt").read_text() == "dear"
    assert (folder / "rc").read_text() == "rc\n"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store").root


def planted(place: Path, kind: str, victim: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link to a folder":
        place.symlink_to(victim / "letters")
    elif kind == "link to a file":
        place.symlink_to(victim / "rc")
    elif kind == "link to nothing":
        place.symlink_to(victim / "new")
    elif kind == "hard link":
        os.link(victim / "rc", place)
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        here = os.getcwd()
        os.chdir(place.parent)  # the path of a socket must be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(place.name)
        os.chdir(here)


STEP = "standin-KEY"
PLANTED = [
    *[(f"unfinished/{STEP}", kind) for kind in ("link to a folder", "link to nothing", "pipe")],
    *[(f"unfinished/{STEP}/genres/a", kind) for kind in ("link to a folder", "hard link", "socket")],
    *[(f"unfinished/{STEP}.lock", kind) for kind in ("link to a file", "link to nothing", "hard link", "pipe")],
    *[(f"logs/{STEP}.log", kind) for kind in ("link to a file", "link to nothing", "hard link", "pipe")],
    *[(name, "link to a folder") for name in ("unfinished", "logs", "running", "artifacts", "artifacts/standin")],
    ("running", "pipe"),
    *[(name, kind) for name in ("format", "rates.json") for kind in ("link to a file", "pipe")],
]


@pytest.mark.parametrize(("name", "kind"), PLANTED)
def test_a_run_names_what_is_planted_and_ends(store, victim, key, name, kind):
    place = store / name.replace("KEY", key)
    if place.is_file():
        place.unlink()
    planted(place, kind, victim)
    dry = ["--dry-run"] if name == "rates.json" else []
    result = bench(*RUN, *dry, "--store", store, timeout=120)
    assert result.returncode == 2, result.stderr
    line = result.stderr.splitlines()[-1]
    what = (
        "has another name elsewhere"
        if kind == "hard link"
        else f"is a {kind.replace('pipe', 'named pipe').split(' to ')[0]}"
    )
    assert line == f"bench: {place}: {what}; nothing was read from it or written to it, remove it"
    made = {manifest.parent.parent.name for manifest in (store / "artifacts").glob("*/*/manifest.json")}
    assert made <= {"initialise"}  # what comes before


@pytest.mark.slow
def test_a_link_in_the_place_of_an_artifact_is_replaced_and_what_it_leads_to_stays(store, victim, key):
    for kind in ("standin", "prepare"):
        planted(store / "artifacts" / kind / key, "link to a folder", victim)
    bench_json(*RUN, "--store", store)
    assert (store / "artifacts" / "standin" / key / "manifest.json").is_file()
    assert not (store / "artifacts" / "standin" / key).is_symlink()
    verified = bench("store", "verify", "--store", store)
    assert verified.returncode == 1
    assert f"{store}/artifacts/prepare/{key}: '{key}' is a link; artifacts hold none" in verified.stdout
    cleaned = bench("store", "gc", "--keep", "tune-table-1", "--store", store)
    assert cleaned.returncode == 0, cleaned.stderr
    assert not (store / "artifacts" / "prepare" / key).is_symlink()


def whole(store: Store, key: str = "a" * 40) -> Path:
    """An artifact in a store, with a folder."""
    work = store.open_work_folder("label", key)
    (work / "sub").mkdir()
    (work / "sub" / "b.txt").write_text("rc\n")
    lineage = {key: {"resources": {"seconds": 1.0}}}
    return store.finish("label", key, {"inputs": {}, "lineage": lineage, "title": "t", "finished": "f"}).path


HARM = {
    "a file": lambda folder, victim: (
        (folder / "sub" / "b.txt").unlink() or (folder / "sub" / "b.txt").symlink_to(victim / "rc")
    ),
    "a folder": lambda folder, victim: shutil.rmtree(folder / "sub") or (folder / "sub").symlink_to(victim / "letters"),
    "one that no manifest names": lambda folder, victim: (folder / "labels.npz").symlink_to(victim / "rc"),
    "to nothing": lambda folder, victim: (folder / "labels.npz").symlink_to(victim / "new"),
    "the manifest": lambda folder, victim: (
        (folder / "manifest.json").rename(victim.parent / "m")
        and (folder / "manifest.json").symlink_to(victim.parent / "m")
    ),
    "all of it": lambda folder, victim: (
        folder.rename(victim.parent / "moved") and folder.symlink_to(victim.parent / "moved")
    ),
    "a pipe": lambda folder, victim: os.mkfifo(folder / "labels.npz"),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_link_inside_an_artifact_makes_it_damaged(tmp_path, victim, harm):
    """It is not read, not copied to another store, and named."""
    store, other = Store(tmp_path / "s"), Store(tmp_path / "t")
    folder = whole(store)
    HARM[harm](folder, victim)
    assert store.find("label", folder.name) is None
    what = "a named pipe" if harm == "a pipe" else "a link"
    assert f"is {what}" in store.damage("label", folder.name)
    assert f"is {what}; artifacts hold none" in problems(folder)[0]
    copied, refused = copy_missing(store, other, lambda _: None)
    assert (copied, len(refused)) == (0, 1)
    assert not list((tmp_path / "t" / "artifacts").glob("*/*"))


def test_what_becomes_a_link_while_it_is_copied_is_not_copied(tmp_path, victim, monkeypatch):
    store, other = Store(tmp_path / "s"), Store(tmp_path / "t")
    HARM["one that no manifest names"](whole(store), victim)
    monkeypatch.setattr("benchmark.engine.housekeeping.problems", lambda folder: [])
    with pytest.raises(PlantedError, match=r"labels.npz: is a link"):
        copy_missing(store, other, lambda _: None)
    assert not list((tmp_path / "t" / "artifacts").glob("*/*"))


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *[(["compare", "a", "b"], name) for name in ("record.json", "", "predictions.npz")],
        *[(command, name) for command in (["report"], ["store", "export", "-"]) for name in ("record.json", "")],
    ],
)
def test_scores_are_not_read_through_links(tmp_path, store, victim, command, name):
    from report_store import fill, make_record

    fill(store, [make_record(encoder, "gtzan", 0) for encoder in ("a", "b")])
    folder = sorted((store / "artifacts" / "score").iterdir())[0]
    place = folder / name if name else folder
    if name == "predictions.npz":
        place.symlink_to(victim / "rc")
    else:
        shutil.move(place, tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
    extra = ["-o", tmp_path / "out"] if command == ["report"] else []
    result = bench(*command, *extra, "--store", store, cwd=tmp_path)
    # The other one is still shown, or there is nothing to compare.
    assert result.returncode == (2 if command[0] == "compare" else 1), result.stderr
    said = f"left out: {place}: is a link; nothing was read from it or written to it, remove it"
    assert result.stderr.splitlines().count(said) == 1


def test_a_cache_that_is_a_link_is_not_copied_into_the_store(mtt, store, tmp_path):
    """What it leads to may be private, and hashes are written back."""
    (tmp_path / "secret.json").write_text('{"token": "secret"}')
    (store / "digests.json").symlink_to(tmp_path / "secret.json")
    result = bench("run", "--encoder", "mfcc", "--task", "mtt", "--dry-run", "--data", mtt[0], "--store", store)
    assert (result.returncode, "digests.json: is a link" in result.stderr) == (2, True)
    assert json.loads((store / "digests.json").read_text()) == {"token": "secret"}
    assert (store / "digests.json").is_symlink()


@pytest.mark.parametrize("kind", ["link to a file", "pipe"])
def test_a_note_that_is_none_is_named(store, victim, kind):
    planted(store / "running" / "host-1.json", kind, victim)
    result = bench("status", "--store", store, timeout=60)
    assert result.returncode == 1
    assert f"left out: {store}/running/host-1.json: is a " in result.stderr


def test_what_another_user_has_begun_is_gone_on_from_only_where_the_group_shares_the_store(store, monkeypatch):
    work = Store(store).open_work_folder("embed", "k")
    (work / "rows").write_text("half")
    check_work(work, store)
    monkeypatch.setattr(plain_files, "_owner_of_new_files", lambda folder: os.geteuid() + 1)
    with pytest.raises(PlantedError, match=r"embed-k: belongs to another user; .* remove it"):
        Store(store).open_work_folder("embed", "k")
    for mode in (0o2755, 0o775):
        store.chmod(mode)
        Store(store).open_work_folder("embed", "k")
    store.chmod(0o755)
    with pytest.raises(PlantedError):
        check_work(work, store)


def test_whose_a_new_file_is_tells_the_file_system(tmp_path):
    assert plain_files._owner_of_new_files(tmp_path) == (tmp_path.stat().st_uid)
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_a_link_hides_no_failure(store, victim, tmp_path):
    """The cause is still told where the log cannot be written."""
    planted(tmp_path / "logs" / "x.log", "link to a file", victim)
    with pytest.raises(UserError, match=r"x.log: is a link"):
        LogReporter(tmp_path / "logs" / "x.log").say("more")


@pytest.mark.parametrize("kind", ["link to a file", "link to nothing", "hard link", "pipe"])
@pytest.mark.parametrize("name", [".table.txt.part", "table.txt", "lock", "."])
def test_a_download_writes_through_nothing_planted(tmp_path, victim, name, kind):
    from tasks.base import Remote
    from tasks.folder import AudioFolder

    class Offered(AudioFolder):
        NAME, LICENCE = "offered", "none"
        REMOTES = (Remote("table.txt", ("http://127.0.0.1:9/table.txt",), "md5:" + "0" * 32, to="table.txt"),)

    staging = tmp_path / "data" / ".bench-download" / "offered"
    planted(staging / name if name != "." else staging, kind, victim)
    if name == ".table.txt.part":
        with pytest.raises(PlantedError):
            plain_files.append_to(staging / name)
        with pytest.raises(PlantedError):
            plain_files.write_anew(staging / name)
        return
    with pytest.raises(UserError, match="is a|has another name"):
        download(Offered(tmp_path / "data" / "offered"), Silent())


def test_an_analysis_is_not_written_through_links(tmp_path, victim):
    rows = "".join(
        f"{e},{t},{s},{0.5 + 0.1 * s + 0.01 * (7 * ord(t) + 3 * ord(e) + 5 * s * ord(t)) % 0.06}\n"
        for e in "ab"
        for t in "xyz"
        for s in (0, 1)
    )
    (tmp_path / "scores.csv").write_text(f"encoder,task,seed,score\n{rows}")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.txt").symlink_to(victim / "rc")
    result = bench("analyze", tmp_path / "scores.csv", "--bootstrap", 0, "-o", tmp_path / "out")
    assert result.returncode == 2
    assert f"{tmp_path}/out/summary.txt: is a link" in result.stderr
