"""How fast this device trains, encodes and decodes: measured once for each encoder, for plans to count hours by."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.audio.decoding import decode
from benchmark.console import Reporter
from benchmark.encoding.windows import device
from benchmark.environment import workers
from benchmark.forecast.resources import device_name, measure_entry
from benchmark.plain_files import read_plain
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.registry import Named
from benchmark.store.store import Store, digest_of, write_atomically

RATES = "rates.json"
#: Length of the file that decoding is timed on [s].
_DECODED = 10


class Rates:
    """Rates of this device, kept in the store's ``rates.json`` so that nothing is measured twice.

    Parameters
    ----------
    store
        Where they are kept.
    reporter
        Shows what is being measured.
    """

    def __init__(self, store: Store, reporter: Reporter) -> None:
        self._file = store.root / RATES
        self._reporter = reporter
        self._device = device_name(device())
        try:
            known = json.loads(read_plain(self._file))
        except (OSError, ValueError, RecursionError):
            known = {}
        self._known: dict[str, Any] = known if isinstance(known, dict) else {}

    def encode(self, named: Named[EncoderEntry]) -> float:
        """Samples encoded a second."""
        return float(self._of(named)[0])

    def train(self, named: Named[EncoderEntry]) -> float:
        """Samples a second through forward and backward passes; 0 for an encoder that cannot be trained."""
        return float(self._of(named)[1])

    def decode(self) -> float:
        """Seconds of 44.1 kHz stereo MP3 that all cores decode and resample to 22,050 Hz in a second."""
        return float(self._get("decode", _decoding))

    def _of(self, named: Named[EncoderEntry]) -> Any:
        identity = digest_of([named.entry.class_path, named.entry.args])

        def both() -> list[float]:
            self._reporter.say(f"measuring how fast this device trains and encodes {named.name}")
            found = measure_entry(named)
            training = found.windows_per_second_training or 0.0
            return [found.windows_per_second_forward * found.samples, training * found.samples]

        return self._get(identity, both)

    def _get(self, name: str, measured: Any) -> Any:
        key = f"{self._device}/{name}"
        if key not in self._known:
            self._known[key] = measured()
            write_atomically(self._file, json.dumps(self._known, indent=1).encode())
        return self._known[key]


def gpu_name() -> str:
    """Of the GPU that steps run on; empty without one."""
    return device_name(device()) if device().type == "cuda" else ""


def _decoding() -> float:
    import soundfile

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="bench-rates-") as folder:
        file = Path(folder) / "noise.mp3"
        soundfile.write(file, 0.1 * rng.standard_normal((_DECODED * 44_100, 2)), 44_100, format="MP3")
        times = []
        for _ in range(3):
            began = time.perf_counter()
            decode(file, 22_050, _DECODED)
            times.append(time.perf_counter() - began)
    return _DECODED / min(times) * workers()
