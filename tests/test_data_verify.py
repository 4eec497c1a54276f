"""Published checksums beside what is on disk."""

import errno
import hashlib
from pathlib import Path

import pytest
from conftest import bench, bench_json, make_mtt
from loopback import FakeDataset

from benchmark.console import Reporter
from benchmark.data.verify import checksum, verify
from benchmark.errors import UserError
from tasks.base import Remote


class Published(FakeDataset):
    REMOTES = (
        Remote("table.txt", (), "sha256:" + hashlib.sha256(b"audio/a audio/b").hexdigest(), "table.txt"),
        Remote("audio.zip", (), "sha1:" + hashlib.sha1(b"zip").hexdigest(), ".", archive=True),
    )

    def checksums(self):
        return {f"audio/{name}": "md5:" + hashlib.md5(name.encode()).hexdigest() for name in "abc"}


@pytest.fixture
def dataset(tmp_path):
    found = Published(tmp_path / "fake")
    (found.root / "audio").mkdir(parents=True)
    (found.root / "table.txt").write_bytes(b"audio/a audio/b")
    for name in "abcd":
        (found.root / "audio" / name).write_text(name)
    return found


def test_all_as_published(dataset):
    verdict = verify(dataset, Reporter())
    assert verdict.sound
    assert (verdict.matching, verdict.differing, verdict.missing, verdict.unpublished) == (4, {}, (), 1)


def test_what_differs_and_what_is_missing(dataset):
    (dataset.root / "audio/a").write_text("other")
    (dataset.root / "audio/b").unlink()
    (dataset.root / "table.txt").write_text("shorter")
    (dataset.root / "audio.zip").write_bytes(b"zip")  # looked at only where it still lies there
    verdict = verify(dataset, Reporter())
    assert not verdict.sound
    assert verdict.matching == 2
    assert verdict.missing == ("audio/b",)
    assert set(verdict.differing) == {"audio/a", "table.txt"}
    other, a = (hashlib.md5(text).hexdigest() for text in (b"other", b"a"))
    assert verdict.differing["audio/a"] == f"md5:{other}, published md5:{a}"


def test_a_file_that_cannot_be_read_is_no_match(dataset, monkeypatch):
    real = Path.open

    def opened(path, *rest, **options):
        if path.name == "a":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *rest, **options)

    monkeypatch.setattr(Path, "open", opened)
    verdict = verify(dataset, Reporter())
    published = hashlib.md5(b"a").hexdigest()
    assert verdict.differing == {"audio/a": f"cannot be read (Permission denied), published md5:{published}"}
    assert verdict.matching == 3


def test_a_folder_that_may_not_be_read_is_named(dataset, monkeypatch):
    def refuse():
        raise PermissionError(errno.EACCES, "Permission denied", str(dataset.root))

    monkeypatch.setattr(dataset, "check", refuse)
    with pytest.raises(UserError, match=f"^{dataset.root}: Permission denied$"):
        verify(dataset, Reporter())


@pytest.mark.parametrize("text", ["d41d8cd98f00b204e9800998ecf8427e", "md5:12", "crc:12345678", ""])
def test_what_is_no_checksum(tmp_path, text):
    with pytest.raises(ValueError, match="no checksum"):
        checksum(tmp_path, text)


def test_the_command(tmp_path, dataset):
    (tmp_path / "faking.py").write_text(
        f"import sys\nsys.path.append({__file__.rpartition('/')[0]!r})\nfrom test_data_verify import Published\n"
    )
    overlay = tmp_path / "registry.yaml"
    overlay.write_text("datasets:\n  fake: {class: 'faking:Published'}\n")
    options = ("--data", tmp_path, "--registry", overlay)
    document = bench_json("data", "verify", "fake", *options)
    assert document == {"matching": 4, "differing": {}, "missing": [], "unpublished": 1, "sound": True}
    (dataset.root / "audio/c").write_text("C")
    done = bench("data", "verify", "fake", *options)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == (
        "fake: 3 files are as published, 1 differ, 0 are missing; of 1 no checksum is published"
    )
    assert done.stdout.startswith("audio/c: md5:0d61f8370cad1d412f80b84d143e1257, published md5:")


def test_without_data_there_is_nothing_to_verify():
    done = bench("data", "verify", "magnatagatune")
    assert done.returncode == 2
    assert done.stderr == "bench: there is nothing to verify without --data DIR or BENCH_DATA\n"


def test_genuine_magnatagatune_tables_are_told_from_others(tmp_path):
    make_mtt(tmp_path / "magnatagatune", {"0": 1, "c": 1, "d": 1})
    done = bench("data", "verify", "magnatagatune", "--data", tmp_path)
    assert done.returncode == 1
    assert "annotations_final.csv: sha256:" in done.stdout
    assert "published sha256:99b94e95825d4fa576386a5367b9c96e0ec636e9f9c240aceb492f4728f68c3c" in done.stdout
