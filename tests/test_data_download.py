"""Downloading against a server on this machine that misbehaves in every way that real ones do."""

import errno
import hashlib
import io
import os
import random
import tarfile
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import bench
from loopback import FakeDataset, Served, serve

from benchmark.console import Reporter
from benchmark.data import download as module
from benchmark.data.download import STAGING, download
from benchmark.data.unpack import JoinedFile, unpack
from benchmark.errors import UserError
from tasks.base import Remote

NOISE = random.Random(0).randbytes(300_000)


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def a_zip(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def a_tar(*members, mode="w:gz"):
    """Members are (name, content) or (TarInfo, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for info, content in members:
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def offering(data, *remotes):
    dataset = FakeDataset(data / "fake")
    dataset.REMOTES = remotes
    return dataset


def tree(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def staged(data):
    """What is left in the staging folder, but for the lock."""
    return sorted(path.name for path in (data / STAGING / "fake").iterdir() if path.name != "lock")


AUDIO = {"audio/a.wav": NOISE, "audio/deep/b [1] 'x'.wav": b"b" * 1000}
ARCHIVE = a_zip(AUDIO)
TABLE = b"audio/a.wav"


def parts_of(content, server, count=3):
    step = -(-len(content) // count)
    pieces = {f"a.zip.{n + 1:03}": content[n * step : (n + 1) * step] for n in range(count)}
    for name, piece in pieces.items():
        server.files[name] = Served(piece)
    return [
        Remote(name, (server.url(name),), sha256(piece), ".", archive=True, joined="a.zip")
        for name, piece in pieces.items()
    ]


def test_a_table_and_an_archive_in_three_parts(tmp_path, capsys):
    with serve({"table.txt": Served(TABLE)}) as server:
        dataset = offering(
            tmp_path,
            Remote("table.txt", ("http://127.0.0.1:9/table.txt", server.url("table.txt")), sha256(TABLE), "table.txt"),
            *parts_of(ARCHIVE, server),
        )
        download(dataset, Reporter())
        assert tree(dataset.root) == {"table.txt": TABLE, **AUDIO}
        assert staged(tmp_path) == ["unpacked.json"]
        said = capsys.readouterr().err
        assert "fake: licence: CC0 of the tests" in said
        assert "unpack a.zip: done" in said

        for served in server.files.values():
            served.ranges.clear()
        download(dataset, Reporter())
        assert not any(served.ranges for served in server.files.values())
        assert "all that is offered is there" in capsys.readouterr().err

        (dataset.root / "table.txt").unlink()
        (dataset.root / "audio/a.wav").unlink()
        download(dataset, Reporter())
        # An archive that was unpacked is not fetched again: what the user removed since is theirs to remove.
        assert set(tree(dataset.root)) == {"table.txt", "audio/deep/b [1] 'x'.wav"}


def test_an_archive_whose_clips_are_all_there_is_not_fetched(tmp_path):
    with serve({"a.zip": Served(ARCHIVE)}) as server:
        dataset = offering(tmp_path, Remote("a.zip", (server.url("a.zip"),), sha256(ARCHIVE), ".", archive=True))
        (dataset.root / "audio").mkdir(parents=True)
        (dataset.root / "audio/a.wav").write_bytes(b"mine")
        (dataset.root / "table.txt").write_bytes(TABLE)
        download(dataset, Reporter())
        assert server.files["a.zip"].ranges == []


@pytest.mark.parametrize("manner", ["cut", "no ranges"])
def test_a_connection_that_breaks_off_is_taken_up_again(tmp_path, manner):
    with serve({"x.bin": Served(NOISE, manner)}) as server:
        dataset = offering(tmp_path, Remote("x.bin", (server.url("x.bin"),), sha256(NOISE), "x.bin"))
        download(dataset, Reporter())
        assert (dataset.root / "x.bin").read_bytes() == NOISE
        assert server.files["x.bin"].ranges == ["", "bytes=150000-"]


def test_a_later_attempt_goes_on_from_the_half_that_is_there(tmp_path):
    with serve({"x.bin": Served(NOISE)}) as server:
        dataset = offering(tmp_path, Remote("x.bin", (server.url("x.bin"),), sha256(NOISE), "x.bin"))
        staging = tmp_path / STAGING / "fake"
        staging.mkdir(parents=True)
        (staging / ".x.bin.part").write_bytes(NOISE[:100_000])
        download(dataset, Reporter())
        assert server.files["x.bin"].ranges == ["bytes=100000-"]
        (dataset.root / "x.bin").unlink()
        (staging / ".x.bin.part").write_bytes(NOISE)  # killed between the last byte and the rename
        download(dataset, Reporter())
        (dataset.root / "x.bin").unlink()
        (staging / ".x.bin.part").write_bytes(b"of another version")
        download(dataset, Reporter())
        assert server.files["x.bin"].ranges[-2:] == ["bytes=18-", ""]
        assert (dataset.root / "x.bin").read_bytes() == NOISE
        assert staged(tmp_path) == []


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (Served(NOISE[:1000]), "is not the file whose checksum is published"),
        (Served(NOISE + b"!"), "is not the file whose checksum is published"),
        (Served(b"<html>moved</html>", "web page"), "answers with a web page"),
        (None, "404 Not Found"),
        ("nobody listens", "no connection"),
    ],
)
def test_a_file_that_cannot_be_had_is_named_with_its_place(tmp_path, served, reason):
    with serve({"x.bin": served} if isinstance(served, Served) else {}) as server:
        url = "http://127.0.0.1:9/x.bin" if served == "nobody listens" else server.url("x.bin")
        dataset = offering(tmp_path, Remote("x.bin", (url,), sha256(NOISE), "tables/x.bin"))
        with pytest.raises(UserError) as error:
            download(dataset, Reporter())
    assert f"{dataset.root}/tables/x.bin ({url}: {reason})" in str(error.value)
    assert "get by hand" in str(error.value)
    assert tree(dataset.root) == {}


def test_a_server_that_always_breaks_off_yields_the_file_by_and_by(tmp_path):
    with serve({"x.bin": Served(NOISE, "always cut")}) as server:
        dataset = offering(tmp_path, Remote("x.bin", (server.url("x.bin"),), sha256(NOISE), "x.bin"))
        with pytest.raises(UserError, match="broke off"):
            download(dataset, Reporter())
        assert server.files["x.bin"].ranges == ["", "bytes=150000-", "bytes=225000-"]
        assert tree(dataset.root) == {}
        server.files["x.bin"].manner = "well"
        download(dataset, Reporter())
        assert server.files["x.bin"].ranges[3:] == ["bytes=262500-"]
    assert (dataset.root / "x.bin").read_bytes() == NOISE


def test_archives_fetched_by_hand_are_checked_joined_and_kept(tmp_path):
    with serve({}) as server:
        parts = parts_of(ARCHIVE, server)
        dataset = offering(tmp_path, *parts)
        dataset.root.mkdir()
        contents = {name: served.content for name, served in server.files.items()}
        server.files.clear()
        with pytest.raises(UserError, match=rf"{dataset.root}/a.zip.001 .*404.*a.zip.002 .*a.zip.003 "):
            download(dataset, Reporter())
        for name, content in contents.items():
            (dataset.root / name).write_bytes(content)
        (dataset.root / "a.zip.002").write_bytes(b"spoilt")
        with pytest.raises(UserError, match="a.zip.002 is there already and is not the published file"):
            download(dataset, Reporter())
        (dataset.root / "a.zip.002").write_bytes(contents["a.zip.002"])
        download(dataset, Reporter())
    assert tree(dataset.root) == {**AUDIO, **contents}


def escaping_zip_link():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("audio/link")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc")
    return out.getvalue()


def device():
    info = tarfile.TarInfo("audio/null")
    info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 3
    return info, b""


HOSTILE = {
    "zip: up": a_zip({"audio/a.wav": b"x", "../evil": b"x"}),
    "zip: absolute": a_zip({"/tmp/evil": b"x"}),
    "zip: drive": a_zip({"C:/evil": b"x"}),
    "zip: backslashes": a_zip({"audio\\..\\..\\evil": b"x"}),
    "zip: link": escaping_zip_link(),
    "tar: up": a_tar(("audio/a.wav", b"x"), ("audio/../../evil", b"x")),
    "tar: absolute": a_tar(("/tmp/evil", b"x"), mode="w"),
    "tar: link out": a_tar(link("audio/passwd", "/etc/passwd")),
    "tar: link up": a_tar(link("audio/up", "../../..")),
    "tar: through a link": a_tar(link("audio/up", "../.."), ("audio/up/evil", b"x")),
    "tar: hard link out": a_tar(link("audio/passwd", "/etc/passwd", tarfile.LNKTYPE)),
    "tar: device": a_tar(device()),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_archive_that_would_leave_its_folder_is_refused_and_nothing_of_it_kept(tmp_path, kind):
    data = tmp_path / "data"
    data.mkdir()
    with serve({"a.bin": Served(HOSTILE[kind])}) as server:
        dataset = offering(data, Remote("a.bin", (server.url("a.bin"),), sha256(HOSTILE[kind]), ".", archive=True))
        with pytest.raises(UserError, match="a.bin: refused"):
            download(dataset, Reporter())
    assert tree(dataset.root) == {}
    assert staged(data) == ["a.bin"]
    assert sorted(os.listdir(tmp_path)) == ["data"]


def test_links_inside_an_archive_become_files(tmp_path):
    into = tmp_path / "into"
    into.mkdir()
    archive = tmp_path / "a.tar"
    archive.write_bytes(a_tar(("a/x", b"123"), link("a/y", "x"), link("a/z", "a/x", tarfile.LNKTYPE), mode="w:xz"))
    assert unpack([archive], "a.tar", into, lambda _: None) == 3
    assert tree(into) == dict.fromkeys(("a/x", "a/y", "a/z"), b"123")
    assert not any(path.is_symlink() for path in into.rglob("*"))


def lzma_zip():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", NOISE)
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        ARCHIVE[:-50],
        ARCHIVE[:400] + b"?" * 50 + ARCHIVE[450:],
        a_tar(("a", NOISE))[:9000],
        b"no archive",
        lzma_zip()[:40] + b"\xff" * 50 + lzma_zip()[90:],
    ],
)
def test_a_damaged_archive_is_said_to_be_damaged(tmp_path, content):
    archive = tmp_path / "a.bin"
    archive.write_bytes(content)
    (tmp_path / "into").mkdir()
    with pytest.raises(UserError, match="a.bin: the archive is damaged"):
        unpack([archive], "a.bin", tmp_path / "into", lambda _: None)


def test_parts_read_as_one_file(tmp_path):
    rng = random.Random(1)
    whole = rng.randbytes(10_000)
    cuts = [0, 1, 1, 400, 9_999, 10_000]
    paths = []
    for n, (start, end) in enumerate(pairwise(cuts)):
        paths.append(tmp_path / str(n))
        paths[-1].write_bytes(whole[start:end])
    with io.BufferedReader(JoinedFile(paths)) as joined:
        assert joined.read() == whole
        for _ in range(50):
            start, length = rng.randrange(10_500), rng.randrange(3_000)
            joined.seek(start)
            assert joined.read(length) == whole[start : start + length]


def test_a_users_file_is_never_overwritten(tmp_path, capsys):
    with serve({"a.zip": Served(ARCHIVE)}) as server:
        dataset = offering(tmp_path, Remote("a.zip", (server.url("a.zip"),), sha256(ARCHIVE), ".", archive=True))
        (dataset.root / "audio").mkdir(parents=True)
        (dataset.root / "audio/a.wav").write_bytes(b"mine")
        download(dataset, Reporter())
    assert (dataset.root / "audio/a.wav").read_bytes() == b"mine"
    assert "a.wav: was there before with another size and is kept" in capsys.readouterr().err


def test_a_full_disk_is_known_beforehand(tmp_path, monkeypatch):
    with serve({"a.zip": Served(ARCHIVE)}) as server:
        dataset = offering(tmp_path, Remote("a.zip", (server.url("a.zip"),), sha256(ARCHIVE), ".", archive=True))
        usage = module.shutil.disk_usage(tmp_path)
        monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=int(1.5 * len(ARCHIVE))))
        with pytest.raises(UserError, match=r"takes 0\.0 GB while it is unpacked and 0\.0 GB are free"):
            download(dataset, Reporter())
        assert server.files["a.zip"].ranges == []


class FullAfter:
    """A file on a disk that has room for a number of bytes."""

    def __init__(self, file, room):
        self._file, self._room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, chunk):
        if len(chunk) > self._room:
            self._file.write(chunk[: self._room])
            raise OSError(errno.ENOSPC, "No space left on device")
        self._room -= len(chunk)
        return self._file.write(chunk)


@pytest.mark.parametrize("archive", [ARCHIVE, a_tar(*AUDIO.items())], ids=["zip", "tar"])
def test_a_disk_that_fills_up_while_unpacking_leaves_nothing_half(tmp_path, monkeypatch, archive):
    real = Path.open

    def opened(path, mode="r", *rest, **options):
        file = real(path, mode, *rest, **options)
        return FullAfter(file, 1000) if mode == "wb" and path.name == "a.wav" else file

    with serve({"a.bin": Served(archive)}) as server:
        dataset = offering(tmp_path, Remote("a.bin", (server.url("a.bin"),), sha256(archive), ".", archive=True))
        with monkeypatch.context() as full:
            full.setattr(Path, "open", opened)
            with pytest.raises(UserError, match="no space left; free some and run the same command again"):
                download(dataset, Reporter())
        assert tree(dataset.root) == {}
        assert staged(tmp_path) == ["a.bin"]
        fetched = list(server.files["a.bin"].ranges)
        download(dataset, Reporter())
        assert server.files["a.bin"].ranges == fetched  # the archive itself is not fetched again
    assert tree(dataset.root) == AUDIO


def test_names_that_are_a_file_and_a_folder(tmp_path):
    clash = a_zip({"audio": b"x", "audio/a.wav": b"y"})
    with serve({"a.zip": Served(clash), "b.zip": Served(ARCHIVE)}) as server:
        dataset = offering(tmp_path, Remote("a.zip", (server.url("a.zip"),), sha256(clash), ".", archive=True))
        with pytest.raises(UserError, match="a.zip: the archive is damaged: 'audio' is a file and a folder in it"):
            download(dataset, Reporter())
        assert tree(dataset.root) == {}
        dataset = offering(tmp_path, Remote("b.zip", (server.url("b.zip"),), sha256(ARCHIVE), ".", archive=True))
        (dataset.root / "audio").write_bytes(b"mine")
        with pytest.raises(UserError, match="audio: is in the way of .*; move it away and try again"):
            download(dataset, Reporter())
        assert tree(dataset.root) == {"audio": b"mine"}


def test_many_small_files_stop_after_three_failures_in_a_row(tmp_path):
    with serve({}) as server:
        dataset = offering(tmp_path, *(Remote(f"{n}", (server.url(f"{n}"),), "", f"{n}") for n in range(40)))
        for n in (0, 1, 5):
            server.files[str(n)] = Served(b"x")
        with pytest.raises(UserError, match="could not fetch 3 of 40 files"):
            download(dataset, Reporter())
        assert tree(dataset.root) == {"0": b"x", "1": b"x"}


def test_the_command(tmp_path):
    (tmp_path / "registry").mkdir()
    with serve({"x.bin": Served(NOISE, "cut")}) as server:
        (tmp_path / "registry/faking.py").write_text(
            "import sys\n"
            f"sys.path.append({os.path.dirname(__file__)!r})\n"
            "from loopback import FakeDataset\nfrom tasks.base import Remote\n"
            "class Offering(FakeDataset):\n"
            f"    REMOTES = (Remote('x.bin', ({server.url('x.bin')!r},), {sha256(NOISE)!r}, 'x.bin'),)\n"
            "class Bare(FakeDataset):\n    NAME = 'bare'\n"
        )
        overlay = tmp_path / "registry/registry.yaml"
        overlay.write_text("datasets:\n  fake: {class: 'faking:Offering'}\n  bare: {class: 'faking:Bare'}\n")
        done = bench("data", "download", "fake", "--data", tmp_path / "data", "--registry", overlay)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "data/fake/x.bin").read_bytes() == NOISE
        none = bench("data", "download", "bare", "--data", tmp_path / "data", "--registry", overlay)
        assert none.returncode == 2
        assert none.stderr.splitlines()[2:] == [
            f"bench: bare: nothing is offered for download; ask the tests, into {tmp_path / 'data/bare'}"
        ]
        nowhere = bench("data", "download", "fake", "--registry", overlay)
        assert nowhere.returncode == 2
        assert "--data DIR or BENCH_DATA" in nowhere.stderr


def test_a_name_that_no_disk_can_hold_is_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(a_tar(("x" * 300, b"x")))
    (tmp_path / "into").mkdir()
    with pytest.raises(UserError, match="a.tar: refused, for it holds a name that is too long"):
        unpack([tmp_path / "a.tar"], "a.tar", tmp_path / "into", lambda _: None)
