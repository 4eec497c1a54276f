"""Archives that take memory, time or the disk, or are damaged anywhere: refused or damaged, in a line, and no more.

Links, devices and paths that lead out are in test_data_download.py.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data import unpack as module
from benchmark.data.unpack import unpack
from benchmark.errors import UserError

MB = 2**20


def header(name, size=0, kind=tarfile.REGTYPE, linkname=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, linkname
    return info.tobuf(tarfile.GNU_FORMAT)


def tar(*members):
    """Members are (name, content) or (name, what it links to, kind)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, *kind in members:
            info = tarfile.TarInfo(name)
            if kind:
                info.type, info.linkname = kind[0], content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zipped(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def overlapping(times):
    """A zip archive whose directory names one file again and again."""
    content = zipped([("a", bytes(MB // 2))])
    start = content.index(b"PK\x01\x02")
    entry = content[start : content.index(b"PK\x05\x06")]
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, times, times, times * len(entry), start, 0)
    return content[:start] + entry * times + end


def chain(length, loop=False):
    links = [(f"l{n}", f"l{n + 1}", tarfile.SYMTYPE) for n in range(length)]
    return tar(*links, (f"l{length}", "l0", tarfile.SYMTYPE) if loop else (f"l{length}", b"end"))


def header_of(size):
    return gzip.compress(header("pax", size, tarfile.XHDTYPE) + bytes(size) + header("a"), 1)


EXPANDS, DIRECTORY, DAMAGED = "unpacks to over 200 times its size", "what it says of its files takes over", "is damaged"
COSTLY = {
    "zeros by gzip": (gzip.compress(tar(("a", bytes(6 * MB)))), EXPANDS),
    "zeros by bzip2": (bz2.compress(tar(("a", bytes(6 * MB)))), EXPANDS),
    "zeros by xz": (lzma.compress(tar(("a", bytes(6 * MB)))), EXPANDS),
    "zeros in a zip": (zipped([("a", bytes(6 * MB))]), EXPANDS),
    "one file named again and again": (overlapping(20), EXPANDS),
    "a size of no end": (header("a", 2**60) + b"x", DAMAGED),
    "a size of no end, compressed": (gzip.compress(header("a", 2**60) + b"x"), DAMAGED),
    "a header that is large": (header_of(4 * MB), DIRECTORY),
    "a long name that is large": (gzip.compress(header("././@LongLink", 3 * MB, b"L") + bytes(4 * MB)), DIRECTORY),
    "a name of 5,000 letters": (tar(("x" * 5000, b"1")), "a name that is too long"),
    "a directory that is large": (zipped([("n" * 60_000 + str(n), b"") for n in range(40)]), DIRECTORY),
    "many files in a tar": (tar(*((f"{n}", b"") for n in range(300))), "it holds over 200 files and folders"),
    "many folders in a tar": (header("d", 0, tarfile.DIRTYPE) * 300, "it holds over 200 files and folders"),
    "many files in a zip": (zipped([(f"{n}", b"") for n in range(300)]), "it holds over 200 files and folders"),
    "many links to a large file": (
        gzip.compress(tar(("a", bytes(MB)), *((f"{n}", "a", tarfile.LNKTYPE) for n in range(90)))), EXPANDS),
    "links in a loop": (chain(5, loop=True), "is a link to"),
    "a long way of links": (chain(150), "is a link to"),
    "a link to itself": (tar(("a", "a", tarfile.SYMTYPE)), "is a link to"),
    "a file in several pieces, mostly holes": (
        tar(("a", b"x"))[:156] + b"S" + tar(("a", b"x"))[157:], DAMAGED),
}  # fmt: skip


@pytest.fixture
def _low_bounds(monkeypatch):
    for name, value in (("ANY_SIZE", 4 * MB), ("MOST_MEMBERS", 200), ("LARGEST_DIRECTORY", 2 * MB)):
        monkeypatch.setattr(module, name, value)


def taken(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("_low_bounds")
@pytest.mark.parametrize("kind", COSTLY)
def test_an_archive_that_costs_more_than_it_is_worth_is_refused_before_it_does(tmp_path, kind):
    content, said = COSTLY[kind]
    (tmp_path / "a.bin").write_bytes(content)
    (tmp_path / "into").mkdir()
    tracemalloc.start()
    with pytest.raises(UserError, match=said) as error:
        unpack([tmp_path / "a.bin"], "a.bin", tmp_path / "into", lambda _: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(error.value)
    assert peak < 16 * MB
    assert taken(tmp_path / "into") <= 5 * MB


GENUINE = {
    "zip": zipped([("audio/a.wav", b"RIFF" * 300), ("b", b"2"), ("folder/", b"")]),
    "stored zip": zipped([("audio/a.wav", b"RIFF" * 30), ("b", b"2")], zipfile.ZIP_STORED),
    "tar": tar(("audio/a.wav", b"RIFF" * 300), ("b", "audio/a.wav", tarfile.SYMTYPE), ("n" * 150, b"3")),
}
GENUINE |= {
    f"tar.{name}": press(GENUINE["tar"])
    for name, press in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress))
}


@pytest.mark.parametrize("kind", GENUINE)
@settings(max_examples=60)
@given(st.data())
def test_an_archive_damaged_anywhere_is_unpacked_or_refused_in_a_line(tmp_path_factory, kind, data):
    place = tmp_path_factory.mktemp("a")
    content = bytearray(GENUINE[kind])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.integers(0, 9)) == 0:
            del content[at:]
            content += b"\0"
        else:
            piece = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 8, b"7" * 11])))
            content[at : at + len(piece)] = piece
    (place / "a.bin").write_bytes(content)
    (place / "into").mkdir()
    try:
        count = unpack([place / "a.bin"], "a.bin", place / "into", lambda _: None)
    except UserError as error:
        assert str(error).startswith(("a.bin: ", f"{place / 'into'}: a.bin unpacks to")), error
        assert "\n" not in str(error)
    else:
        assert count >= len([path for path in (place / "into").rglob("*") if path.is_file()])
    assert sorted(path.name for path in place.iterdir()) == ["a.bin", "into"]
    assert not any(path.is_symlink() for path in place.rglob("*"))
