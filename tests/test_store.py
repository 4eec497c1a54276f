"""The store: whole or absent, and believed for what it holds."""

import json
import os

import pytest

from benchmark.errors import UserError
from benchmark.store.storage_errors import storage_errors
from benchmark.store.store import Store, digest_of, reserve, write_atomically


def fill(store, key="k1", content=b"hello", **manifest):
    work = store.work_folder("embed", key)
    work.mkdir(parents=True)
    (work / "a.bin").write_bytes(content)
    (work / "sub").mkdir()
    (work / "sub" / "b.txt").write_text("more")
    return store.finish("embed", key, {"inputs": {}, **manifest})


def test_what_is_finished_is_found(tmp_path):
    store = Store(tmp_path / "store")
    assert store.find("embed", "k1") is None
    artifact = fill(store, facts={"x": 1})
    found = Store(tmp_path / "store").find("embed", "k1")
    assert found is not None
    assert found.digest == artifact.digest
    assert found.manifest["facts"] == {"x": 1}
    assert found.bytes == 9
    assert (found / "sub/b.txt").read_text() == "more"
    assert not store.work_folder("embed", "k1").exists()


def test_digest_is_of_content(tmp_path):
    store = Store(tmp_path)
    assert fill(store, "a").digest == fill(store, "b").digest
    assert fill(store, "c", b"other").digest != fill(store, "d").digest


@pytest.mark.parametrize("damage", ["truncate", "same_length", "remove", "manifest", "moved"])
def test_damaged_artifacts_are_not_found(tmp_path, damage):
    store = Store(tmp_path)
    artifact = fill(store)
    file = artifact / "a.bin"
    if damage == "truncate":
        file.write_bytes(b"hel")
    elif damage == "same_length":
        file.write_bytes(b"hellO")
    elif damage == "remove":
        file.unlink()
    elif damage == "manifest":
        (artifact / "manifest.json").write_text('{"files": ')
    else:
        artifact.path.rename(artifact.path.parent / "k2")
    assert store.find("embed", "k1") is None
    assert store.find("embed", "k2") is None


def test_finishing_again_replaces(tmp_path):
    store = Store(tmp_path)
    fill(store)
    fill(store, content=b"second")
    assert (store.find("embed", "k1") / "a.bin").read_bytes() == b"second"
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_other_formats_and_strangers_folders_are_refused(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "format").write_text("999\n")
    with pytest.raises(UserError, match="is a store of format 999"):
        Store(tmp_path / "old")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match="neither empty nor a store"):
        Store(tmp_path / "home")
    assert sorted(os.listdir(tmp_path / "home")) == ["letters.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot use this folder as the store"):
        Store(tmp_path / "file")


def test_digest_of_ignores_order_of_keys_only():
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": [1, 2]}) != digest_of({"a": [2, 1]})
    with pytest.raises(ValueError, match="JSON"):
        digest_of({"a": float("nan")})


def test_failed_writes_leave_nothing(tmp_path, monkeypatch):
    write_atomically(tmp_path / "f", b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="space"):
        write_atomically(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_what_is_written_is_readable_by_whom_the_umask_admits(tmp_path):
    umask = os.umask(0o022)
    os.umask(umask)
    write_atomically(tmp_path / "f", b"x")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o666 & ~umask


def test_manifest_is_readable_by_people(tmp_path):
    artifact = fill(Store(tmp_path))
    manifest = json.loads((artifact / "manifest.json").read_text())
    assert manifest["files"]["a.bin"] == {
        "bytes": 5,
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "modified": (artifact / "a.bin").stat().st_mtime_ns,
    }


def test_a_copy_with_other_times_is_believed_for_its_content(tmp_path):
    store = Store(tmp_path)
    file = fill(store) / "a.bin"
    os.utime(file, (1, 1))
    assert store.find("embed", "k1") is not None
    file.write_bytes(b"hellO")
    os.utime(file, (1, 1))
    assert store.find("embed", "k1") is None


def test_a_full_disk_is_one_line_whoever_reports_it(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no space left"), storage_errors(tmp_path):
        raise OSError(28, "No space left on device")
    with pytest.raises(RuntimeError), storage_errors(tmp_path):
        raise RuntimeError("a bug")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0})())
    with pytest.raises(UserError, match="no space left"), storage_errors(tmp_path):
        raise RuntimeError("PytorchStreamWriter failed writing file")


def test_only_what_lies_in_the_store_is_said_to_be_unwritable(tmp_path):
    for path, words in ((tmp_path / "x", "cannot write"), (None, "cannot write"), ("/data/x", "no access")):
        with pytest.raises(UserError) as error, storage_errors(tmp_path):
            raise PermissionError(13, "Permission denied", path)
        assert str(error.value) == f"{path or tmp_path}: {words}: Permission denied"


def test_space_is_claimed_before_it_is_mapped(tmp_path):
    reserve(tmp_path / "f", 10_000)
    assert (tmp_path / "f").stat().st_size == 10_000
    assert (tmp_path / "f").stat().st_blocks * 512 >= 10_000
    reserve(tmp_path / "empty", 0)
    assert (tmp_path / "empty").stat().st_size == 0
