"""Pairs of real commands on one store where locks are broken, and commands killed at any moment: scores stay the same.

Run as a program it needs a C compiler and, of the tests, only the process that forks commands; see docs/reliability.md:

    python tests/soak.py --pairs 200 --kills 100

Each pair has a store of its own and a `flock` that is this machine's, grants every lock to everybody, or fails with an
error number. The scores of both, and what lies in the store, are compared with those of one command alone, byte for
byte; what a killed command has left is gone on from by the next one.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

FLOCK = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
/* The answer of a file system: the kernel's own, 0 to everybody, or an error. */
int flock(int fd, int operation) {
    const char *answer = getenv("FLOCK_ANSWER");
    if (!answer || !*answer) return syscall(SYS_flock, fd, operation);
    if (!atoi(answer)) return 0;
    errno = atoi(answer);
    return -1;
}
"""
RATE, CLIPS = 16_000, 24
REGISTRY = """
encoders:
  tiny:
    class: encoders.tune:TUNe
    args: {filters: 2, contractive: 2, expansive: 2, tail: 4, dim: 16, window: 2187}
datasets:
  mine: {class: tasks.folder:LabelledFolder, root: MUSIC}
corpora:
  mine: {dataset: mine}
tasks:
  mood: {dataset: mine, metrics: [accuracy], corpus: mine, protocol: linear}
recipes:
  short:
    source: tests
    pairs: 24
    batch: 4
    temperature: 0.5
    learning_rate: 1e-3
    schedule: cosine
    weight_decay: 0
    projector: {kind: mlp, dim: 8}
    augmentation:
      - polarity: {probability: 0.8}
"""
#: What is run, and the last one trained; a command of a pair has one or two of them, which trains one time in seven.
ENCODERS = ("mfcc", "chroma", "tiny")
OFTEN = ("mfcc", "chroma") * 3 + ("tiny",)
#: What a system call is tried again for, for ever.
AGAIN = errno.EINTR
#: Seconds after which a command counts as one that hangs.
PATIENCE = 3600.0


def make_music(place: Path) -> Path:
    """A folder of clips of two kinds, and a registry that names it."""
    import numpy as np
    import soundfile

    music = place / "music"
    music.mkdir()
    rng = np.random.default_rng(0)
    rows = ["path,split,label"]
    for number in range(CLIPS):
        t = np.arange(int(1.3 * RATE)) / RATE
        tone = np.sin(2 * np.pi * (300 if number % 2 else 420 + 9 * number) * t)
        soundfile.write(music / f"{number:02}.wav", 0.2 * tone + 0.2 * rng.standard_normal(len(t)), RATE)
        rows.append(
            f"{number:02}.wav,{['train', 'train', 'valid', 'test'][number // 2 % 4]},{'lo' if number % 2 else 'hi'}"
        )
    (music / "labels.csv").write_text("\n".join(rows) + "\n")
    registry = place / "registry.yaml"
    registry.write_text(REGISTRY.replace("MUSIC", str(music)))
    return registry


def words(encoders: list[str], registry: Path, store: Path) -> list[str]:
    """A command that scores encoders."""
    named = [word for encoder in encoders for word in ("--encoder", encoder)]
    return ["run", *named, "--task", "mood", "--recipe", "short", "--registry", str(registry), "--store", str(store)]


def scores(store: Path) -> dict[str, str]:
    """By key of each score, a hash of all that is in it but what tells when and where it was made."""
    found = {}
    for folder in sorted((store / "artifacts" / "score").iterdir()):
        record = json.loads((folder / "record.json").read_text())
        for name in ("finished", "steps", "versions", "pretraining"):
            record.pop(name)
        whole = json.dumps(record, sort_keys=True).encode() + (folder / "predictions.npz").read_bytes()
        found[folder.name] = hashlib.sha256(whole).hexdigest()
    return found


def faults(store: Path, alone: dict[str, str]) -> list[str]:
    """What of a store is not as it is where nothing goes wrong."""
    from benchmark.engine.housekeeping import folders, problems
    from benchmark.store.store import Store

    found = [f"score {key} is another" for key, value in scores(store).items() if alone.get(key) != value]
    for folder in folders(Store(store)):
        found += [f"{folder.relative_to(store)}: {one}" for one in problems(folder)]
    return found


class Soak:
    """Trials in a folder, counted."""

    def __init__(self, place: Path, seed: int) -> None:
        self._place, self._registry = place, make_music(place)
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        began = time.monotonic()
        self._alone = self._scores_alone()
        self._seconds = time.monotonic() - began

    def _scores_alone(self) -> dict[str, str]:
        store = self._place / "alone"
        command = self._start(words(sorted(ENCODERS), self._registry, store), "alone", "")
        code = command.wait(PATIENCE)
        if code:
            sys.exit((self._place / "alone.err").read_text())
        return scores(store)

    def _start(self, arguments: list[str], name: str, answer: str) -> Any:
        from warm_command import Started

        environment = {key: value for key, value in os.environ.items() if not key.startswith("BENCH_")}
        environment["FLOCK_ANSWER"] = answer
        out, err = self._place / f"{name}.out", self._place / f"{name}.err"
        return Started(arguments, out, err, cwd=self._place, environment=environment)

    def _commands(self, store: Path) -> list[list[str]]:
        """Two commands that have steps in common."""
        shared = self._random.choice(OFTEN)
        other = [sorted({shared, self._random.choice(OFTEN)}) for _ in range(2)]
        return [words(each, self._registry, store) for each in other]

    def pair(self, number: int) -> None:
        """Two commands at once, whose locks are broken in one way."""
        answer = self._random.choice(["", "0", "0", *map(str, sorted(errno.errorcode.keys() - {AGAIN}))])
        store = self._place / "store"
        commands = []
        for side, arguments in enumerate(self._commands(store)):
            commands.append(self._start(arguments, str(side), answer))
            time.sleep(self._random.choice([0, 0, self._random.random() * self._seconds / 2]))
        codes = [command.wait(PATIENCE) for command in commands]
        self._judge(f"pair {number}, flock {answer or 'as it is'}", store, codes)
        self.counts["granted to all" if answer == "0" else "failing" if answer else "working"] += 1

    def kill(self, number: int) -> None:
        """Two commands at once, one or both killed at a random moment, and one more that ends."""
        answer = self._random.choice(["", "0", str(errno.ENOLCK)])
        store = self._place / "store"
        first, second = self._commands(store)
        running = [self._start(first, "0", answer)]
        if self._random.random() < 0.5:
            running.append(self._start(second, "1", answer))
        for command in running:
            time.sleep(self._random.random() * self._seconds / 2)
            if command.poll() is None:
                os.killpg(command.pid, signal.SIGKILL)
                self.counts["killed"] += 1
        for command in running:
            command.wait(60)
        codes = [self._start(arguments, "last", answer).wait(PATIENCE) for arguments in (first, second)]
        self._judge(f"kill {number}, flock {answer or 'as it is'}", store, codes)

    def _judge(self, what: str, store: Path, codes: list[int]) -> None:
        found = [f"exit codes {codes}"] if any(codes) else []
        found += faults(store, self._alone)
        for name in ("0", "1", "last"):
            err = self._place / f"{name}.err"
            found += [line for line in err.read_text().splitlines() if "Traceback" in line] if err.exists() else []
        self.faults += [f"{what}: {one}" for one in found]
        if not found:
            shutil.rmtree(store)
        else:
            store.rename(self._place / f"faulty-{len(self.faults)}")


def main() -> None:
    """Run the trials, and end with exit code 1 if any went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-soak-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        (place / "flock.c").write_text(FLOCK)
        library = place / "flock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, place / "flock.c"], check=True)
        os.environ["LD_PRELOAD"] = str(library)  # of the process that forks commands, which begins with the first
        sys.path.insert(0, str(Path(__file__).parent))
        began = time.monotonic()
        soak = Soak(place, chosen.seed)
        for number in range(max(chosen.pairs, chosen.kills)):
            if number < chosen.pairs:
                soak.pair(number)
            if number < chosen.kills:
                soak.kill(number)
            _tell(f"{number + 1} of {chosen.pairs} pairs and {chosen.kills} kills, {dict(soak.counts)}", soak)
        _tell(f"done in {time.monotonic() - began:.0f} s: {dict(soak.counts)}", soak)
        sys.exit(bool(soak.faults))


def _tell(what: str, soak: Soak) -> None:
    print(f"{what}: {len(soak.faults)} faults", flush=True)
    for fault in soak.faults:
        print(f"  {fault}", flush=True)


if __name__ == "__main__":
    main()
