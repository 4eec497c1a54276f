"""What is shown of the factors of a task's clips: features, the clips at both ends, their labels, and the level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.visualisation.document import Factor, FactorAnalysis, FactorClip, FactorEnd, PrevalentLabel
from benchmark.visualisation.audio_clips import data_uri, ogg
from benchmark.visualisation.exciting import embedded_clips
from benchmark.visualisation.factors import Factors, factors_of, level_db
from benchmark.visualisation.maps import clip_means
from benchmark.visualisation.seen_task import Seen

#: Clips that factors rest on at most, drawn from those of the test split, or of all where it has none.
CLIPS = 2000
#: Features named of a factor, and clips shown of each of its ends.
FEATURES, ENDS = 20, 5
#: Clips of an end whose labels are counted, and labels named.
COUNTED, PREVALENT = 20, 5


def factor_document(one: Seen, count: int, audio: bool) -> FactorAnalysis:
    """Factors of the clips of a task.

    Parameters
    ----------
    one
        The task.
    count
        Number of factors.
    audio
        Whether excerpts of the clips at the ends are embedded: the windows from which each clip begins.

    Raises
    ------
    UserError
        If there are not as many factors.
    """
    rows = [row for row, _ in embedded_clips(one.task, one.embeddings)]
    test = [row for row in rows if one.task.splits[row] == "test"] or rows
    if len(test) > CLIPS:
        test = sorted(np.random.default_rng(0).choice(test, CLIPS, replace=False).tolist())
    means = clip_means(one.embeddings, [one.task.clip_ids[row] for row in test])
    found = factors_of(means, count, _levels(one, test))
    return {
        "clips": len(test),
        "features": len(found.features),
        "converged": found.converged,
        "factors": [_factor(one, found, place, np.array(test), audio) for place in range(count)],
    }


def _levels(one: Seen, rows: list[int]) -> NDArray[np.float64] | None:
    """Of clips [dB]; ``None`` where the store has no audio any more."""
    if one.pcm is None:
        return None
    clips = {clip.id: clip for clip in one.pcm.clips}
    return np.array([level_db(one.pcm.waveform(clips[one.task.clip_ids[row]])) for row in rows])


def _factor(one: Seen, found: Factors, place: int, rows: NDArray[np.int64], audio: bool) -> Factor:
    loadings = found.loadings[place]
    strongest = np.argsort(-np.abs(loadings), kind="stable")[:FEATURES]
    order = np.argsort(-found.scores[:, place], kind="stable")
    correlation = float(found.level_correlation[place])
    return {
        "share": float(f"{found.share[place]:.4g}"),
        "features": found.features[strongest].tolist(),
        "loadings": np.round(loadings[strongest], 4).tolist(),
        "level_correlation": round(correlation, 4) if np.isfinite(correlation) else None,
        "loudness": bool(found.loud[place]),
        "high": _end(one, rows[order], found.scores[order, place], audio),
        "low": _end(one, rows[order[::-1]], found.scores[order[::-1], place], audio),
    }


def _end(one: Seen, rows: NDArray[np.int64], scores: NDArray[np.float64], audio: bool) -> FactorEnd:
    counted = rows[: min(COUNTED, len(rows) // 2)]
    prevalent = [label for label in one.prevalent(counted.tolist(), len(one.task.label_names)) if _more(label, counted)]
    shown = list(zip(rows[:ENDS].tolist(), scores[:ENDS].tolist(), strict=True))
    return {"clips": [_clip(one, row, score, audio) for row, score in shown], "prevalent": prevalent[:PREVALENT]}


def _more(label: PrevalentLabel, counted: NDArray[np.int64]) -> bool:
    """Whether a label is given more often than among all clips, by more than chance moves it (two deviations)."""
    expected = len(counted) * label["share"]
    return bool(label["count"] > expected + 2 * (expected * (1 - label["share"])) ** 0.5)


def _clip(one: Seen, row: int, score: float, audio: bool) -> FactorClip:
    clip, heard = one.task.clip_ids[row], ""
    if audio:
        waveform, _ = one.excerpts.cut(clip, 0.0, float("inf"))
        heard = data_uri(ogg(waveform, int(one.stored.pcm.spec["sample_rate"])))
    path = one.excerpts.path(clip)
    return {"clip": clip, "path": path, "score": round(score, 3), "labels": one.labels(row), "audio": heard}
