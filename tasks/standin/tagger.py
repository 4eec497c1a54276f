"""From a song to words: the tags that are true of it, and what a careless annotator writes down of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tasks.standin.composer import Song

SLOW_BELOW = 85.0
FAST_ABOVE = 125.0
QUIET_BELOW = 0.35
SOFT_BELOW = 0.45
LOUD_ABOVE = 0.75

#: Annotator: probability of writing a true tag, of writing a false one, and of writing nothing at all.
KEEP = 0.8
INVENT = 0.012
SKIP = 0.18

_VOICE = ("vocal", "vocals", "voice", "singing")
_FEMALE = ("female", "woman", "female vocal", "female voice")
_MALE = ("male", "man", "male vocal", "male voice")

INSTRUMENT_TAGS: Mapping[str, tuple[str, ...]] = {
    "piano": ("piano",),
    "guitar": ("guitar",),
    "distorted guitar": ("guitar", "electric guitar"),
    "strings": ("strings",),
    "violin": ("violin", "strings"),
    "cello": ("cello", "strings"),
    "flute": ("flute",),
    "synth": ("synth", "electronic"),
    "saw lead": ("synth", "electronic"),
    "harpsichord": ("harpsichord",),
    "harp": ("harp",),
    "sitar": ("sitar", "indian"),
    "organ": ("organ",),
    "male voice": (*_VOICE, *_MALE),
    "female voice": (*_VOICE, *_FEMALE),
    "choir": (*_VOICE, "choir", "choral"),
    "trumpet": ("trumpet", "horns"),
    "saxophone": ("sax",),
    "clarinet": ("clarinet",),
    "bass": ("bass",),
    "synth bass": ("electronic", "bass"),
}
SINGERS = frozenset({"male voice", "female voice", "choir"})

GENRE_TAGS: Mapping[str, tuple[str, ...]] = {
    "classical": ("classical", "classic"),
    "baroque": ("classical", "classic", "baroque"),
    "opera": ("opera", "classical"),
    "choral": ("choral", "choir"),
    "indian": ("indian",),
    "ambient": ("ambient", "new age"),
    "techno": ("techno", "electronic", "dance", "beat", "beats"),
    "disco": ("dance", "beat", "disco"),
    "pop": ("pop",),
    "rock": ("rock",),
    "metal": ("metal", "rock", "loud", "heavy metal"),
    "country": ("country",),
    "blues": ("blues",),
    "hip hop": ("hip hop", "rap"),
    "jazz": ("jazz",),
    "reggae": ("reggae",),
    "folk": ("folk",),
    "experimental": ("strange",),
    "instrumental": ("instrumental",),
    "soul": ("funk",),
    "easy listening": ("mellow",),
    "old-time": ("country", "old"),
    "spoken": ("talking",),
}


def true_tags(song: Song) -> frozenset[str]:
    """Return every tag that holds for the song, in the spelling of MagnaTagATune."""
    playing = song.instruments if song.bass is None else (*song.instruments, song.bass)
    tags = {tag for name in playing for tag in INSTRUMENT_TAGS[name]} | set(GENRE_TAGS[song.genre])
    if SINGERS.isdisjoint(playing):
        tags |= {"no vocal", "no vocals", "no voice"}
    if song.groove is not None:
        tags |= {"drums", "beat"}
    elif len(playing) == 1:
        tags.add("solo")
    facts = {
        "slow": song.tempo < SLOW_BELOW,
        "fast": song.tempo > FAST_ABOVE,
        "quiet": song.energy < QUIET_BELOW,
        "soft": song.energy < SOFT_BELOW and song.groove is None,
        "loud": song.energy > LOUD_ABOVE,
        "weird": song.odd,
    }
    return frozenset(tags | {tag for tag, holds in facts.items() if holds})


def annotate(tags: frozenset[str], vocabulary: Sequence[str], rng: np.random.Generator) -> frozenset[str]:
    """Return what an annotator writes down where `tags` are true: often less, rarely something of `vocabulary` more."""
    if rng.random() < SKIP:
        return frozenset()
    kept = {tag for tag in sorted(tags) if rng.random() < KEEP}
    invented = {tag for tag in vocabulary if rng.random() < INVENT}
    return frozenset(kept | (invented - tags))
