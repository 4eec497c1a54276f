"""One pass of a frozen encoder over every window of every clip of a dataset."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.console import Reporter
from benchmark.encoding.windows import BatchEncoder, Cutting, build_encoder, cut_windows, window_spans
from benchmark.errors import UserError
from benchmark.freed_memory import freed_memory_kept
from benchmark.store.embeddings import INDEX, REPRESENTATION, open_embeddings, rows_file
from benchmark.store.file_names import WEIGHTS
from benchmark.store.pcm import Pcm, PcmClip, open_pcm
from benchmark.store.step import Step
from benchmark.store.store import JOURNAL, Artifact, digest_of, reserve
from encoders.base import Encoder

#: Windows handed to the encoder at once, which batches them as the device likes.
CHUNK = 1024


def embed_dataset(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave a file of rows for each layer, and `index.npz`, in `work`; goes on where an interrupted attempt stopped.

    Rows that an earlier artifact holds of the same audio by the same weights are copied.
    """
    pcm = open_pcm(inputs["pcm"].path, inputs["pcm"].manifest)
    encoder = build_encoder(step.context["encoder"], 0, inputs["weights"] / WEIGHTS)
    cutting = Cutting.of(step.spec)
    cutting.prepare(encoder, step.context["encoder"].name)
    layers = encoder.layers() if step.spec["layers"] else (REPRESENTATION,)
    spans = [window_spans(clip.samples, encoder, cutting) for clip in pcm.clips]
    starts = [[start for start, _ in own] for own in spans]
    counts = np.array([len(s) for s in starts], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    windows = int(first[-1])
    encode = BatchEncoder(encoder)
    dims = _dims(encode, encoder, layers)
    known = _embedded_before(step, inputs, layers) if "earlier" in step.context else {}
    new = np.array([number for number, clip in enumerate(pcm.clips) if clip.digest not in known], dtype=np.int64)
    clips = [pcm.clips[number] for number in new]
    # Rows that are to be encoded, in order, and where the rows of each clip begin among them.
    todo = np.concatenate([np.arange(first[n], first[n + 1]) for n in new]) if len(new) else new
    first_new = np.concatenate([[0], np.cumsum(counts[new])]).astype(np.int64)

    # What is done counts only if the same rows are still to do.
    which = digest_of(new.tolist())[:16] if known else ""
    rows = {name: _open_rows(work / rows_file(n), windows, dims[name]) for n, name in enumerate(layers)}
    done = _rows_done(work / JOURNAL, which, rows, todo)
    for number in np.setdiff1d(np.arange(len(pcm.clips)), new):
        for name in layers:
            rows[name][first[number] : first[number + 1]] = known[pcm.clips[number].digest][name]
    worked = 0
    with (
        freed_memory_kept(),
        (work / JOURNAL).open("a", encoding="utf-8") as journal,
        reporter.progress(step.title, len(todo), "windows", done) as advance,
    ):
        size = CHUNK if encode.device.type == "cuda" else encode.batch
        for chunk in _chunks(pcm, clips, encoder, cutting, first_new, done, size):
            for name, found in encode.layers(chunk, layers).items():
                if not np.isfinite(found).all():
                    clip = clips[int(np.searchsorted(first_new, done, side="right")) - 1]
                    raise UserError(f"{step.title}: values that are not finite, at or after clip {clip.path}")
                rows[name][todo[done : done + len(chunk)]] = found
            digest = _digest(rows, todo[done : done + len(chunk)])
            done += len(chunk)
            worked += sum(map(len, chunk))
            journal.write(json.dumps({"of": which, "done": done, "digest": digest}) + "\n")
            journal.flush()
            advance(len(chunk))
    np.savez_compressed(
        work / INDEX,
        layers=np.array(layers, dtype=np.str_),
        dims=np.array([dims[name] for name in layers]),
        clip_ids=np.array([clip.id for clip in pcm.clips], dtype=np.str_),
        digests=np.array([clip.digest for clip in pcm.clips], dtype=np.str_),
        first=first,
        seconds=np.array([at / encoder.sample_rate for clip in starts for at in clip], dtype=np.float32),
        durations=np.array([clip.samples / encoder.sample_rate for clip in pcm.clips], dtype=np.float32),
    )
    return {
        "windows": windows,
        "dims": dims,
        "weights": inputs["weights"].manifest["files"][WEIGHTS]["sha256"],
        "heard_seconds": max((end - start for own in spans for start, end in own), default=0) / encoder.sample_rate,
        "worked": worked,
    }


def _embedded_before(
    step: Step, inputs: Mapping[str, Artifact], layers: Sequence[str]
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Rows of each layer that earlier artifacts hold of these clips' audio by these weights, by the audio's digest."""
    known: dict[str, dict[str, NDArray[np.float32]]] = {}
    for artifact in step.context["earlier"]():
        manifest, weights = artifact.manifest, inputs["weights"]
        same = manifest["spec"] == step.spec and manifest["needs"]["weights"]["key"] == weights.manifest["key"]
        if not same or manifest["inputs"]["weights"] != weights.digest or not step.of.left(artifact):
            continue
        held = {layer: open_embeddings(artifact.path, layer or None) for layer in layers}
        one = held[layers[0]]
        for number, digest in enumerate(one.digests):
            begin, end = one.first[number], one.first[number + 1]
            known.setdefault(digest, {layer: own.rows[begin:end] for layer, own in held.items()})
    return known


def _rows_done(journal: Path, which: str, rows: Mapping[str, NDArray[np.float32]], todo: NDArray[np.int64]) -> int:
    """Rows that an interrupted attempt has left and that are what it wrote; the journal is cut behind them."""
    done = whole = 0
    journal.touch()
    with journal.open("rb") as lines:
        for line in lines:
            try:
                entry = json.loads(line) if line.endswith(b"\n") else {}
                after = int(entry["done"])
                if entry["of"] != which or not done < after <= len(todo):
                    break
                if entry["digest"] != _digest(rows, todo[done:after]):
                    break
            except (ValueError, KeyError, TypeError):
                break
            done, whole = after, whole + len(line)
    os.truncate(journal, whole)
    return done


def _digest(rows: Mapping[str, NDArray[np.float32]], numbers: NDArray[np.int64]) -> str:
    """Hash of these rows of every layer."""
    found = hashlib.blake2b(digest_size=16)
    for own in rows.values():
        found.update(own[numbers].tobytes())
    return found.hexdigest()


def _dims(encode: BatchEncoder, encoder: Encoder, layers: Sequence[str]) -> dict[str, int]:
    """Number of channels of each layer."""
    if tuple(layers) == (REPRESENTATION,):
        return {REPRESENTATION: encoder.dim}
    silence = np.zeros(encoder.view_samples(), np.int16)
    return {name: output.shape[1] for name, output in encode.layers([silence], layers).items()}


def _open_rows(path: Path, windows: int, dim: int) -> np.memmap[Any, np.dtype[np.float32]]:
    reserve(path, windows * dim * np.dtype(np.float32).itemsize)
    return np.memmap(path, np.float32, "r+", shape=(windows, dim))


def _chunks(
    pcm: Pcm,
    clips: Sequence[PcmClip],
    encoder: Encoder,
    cutting: Cutting,
    first: NDArray[np.int64],
    done: int,
    size: int,
) -> Iterator[list[NDArray[np.int16]]]:
    """Windows from row `done` on, in lists of `size` windows of one length."""
    chunk: list[NDArray[np.int16]] = []
    for clip, row in _clips_from(clips, first, done):
        for window in cut_windows(pcm.waveform(clip), encoder, cutting)[max(done - row, 0) :]:
            if chunk and (len(chunk) == size or len(window) != len(chunk[0])):
                yield chunk
                chunk = []
            chunk.append(window)
    if chunk:
        yield chunk


def _clips_from(clips: Sequence[PcmClip], first: NDArray[np.int64], done: int) -> Iterator[tuple[PcmClip, int]]:
    for clip, row, end in zip(clips, first[:-1].tolist(), first[1:].tolist(), strict=True):
        if end > done:
            yield clip, row
