"""Styles: what the songs of a genre have in common, from tempo to instruments.

The first twelve make music that MagnaTagATune's tags can tell apart. A stand-in whose genres are called otherwise
says which style stands for which of its genres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """What the songs of a genre have in common.

    Attributes
    ----------
    tempo
        Range of the tempo [beats/min].
    palette
        Instrument -> weight with which it is drawn.
    energy
        Range of a song's energy, within 0 to 1.
    groove
        Key of `score.GROOVES`.
    drums
        Probability that a song has drums.
    bass
        Instrument of the bass line; ``None`` for none.
    major
        Probability of a major key.
    players
        Range of the number of instruments, both ends included, bass and drums not counted.
    swing
        Delay of every second eighth note [eighths].
    """

    tempo: tuple[float, float]
    palette: Mapping[str, float]
    energy: tuple[float, float]
    groove: str = "rock"
    drums: float = 0.0
    bass: str | None = None
    major: float = 0.5
    players: tuple[int, int] = (2, 3)
    swing: float = 0.0


STYLES: Mapping[str, Style] = {
    "classical": Style(
        (55, 125), {"strings": 3, "violin": 2, "cello": 2, "piano": 2.5, "flute": 1, "harp": 0.7}, (0.1, 0.7),
        players=(1, 3), major=0.6,
    ),
    "baroque": Style(
        (70, 140), {"harpsichord": 4, "violin": 1.5, "cello": 1, "flute": 1.5, "guitar": 0.7}, (0.2, 0.7),
        players=(1, 2), major=0.6,
    ),
    "opera": Style(
        (55, 110), {"female voice": 3, "male voice": 1.5, "strings": 3, "choir": 0.8, "flute": 0.4}, (0.3, 0.9),
    ),
    "choral": Style(
        (50, 90), {"choir": 5, "organ": 1.2, "female voice": 0.8, "male voice": 0.8}, (0.1, 0.5), players=(1, 2),
    ),
    "indian": Style(
        (65, 130), {"sitar": 4, "flute": 1, "female voice": 0.8, "male voice": 0.4}, (0.2, 0.8),
        groove="tabla", drums=0.6, players=(1, 2), major=0.3,
    ),
    "ambient": Style(
        (50, 90), {"synth": 4, "flute": 1.2, "choir": 0.8, "piano": 1, "harp": 1.2}, (0.05, 0.45),
        groove="sparse", drums=0.2, players=(1, 3),
    ),
    "techno": Style(
        (122, 150), {"saw lead": 3, "synth": 3, "organ": 0.4}, (0.5, 1.0),
        groove="four on the floor", drums=1.0, bass="synth bass", players=(1, 2), major=0.3,
    ),
    "disco": Style(
        (108, 130), {"synth": 1.5, "strings": 1.2, "guitar": 1.2, "female voice": 1.5, "male voice": 0.6},
        (0.5, 0.9), groove="disco", drums=1.0, bass="bass", major=0.6,
    ),
    "pop": Style(
        (85, 130), {"guitar": 1.5, "piano": 1.5, "synth": 1, "female voice": 2, "male voice": 1.5}, (0.3, 0.8),
        groove="pop", drums=0.85, bass="bass", major=0.7,
    ),
    "rock": Style(
        (95, 150), {"distorted guitar": 2, "guitar": 2.5, "male voice": 1.8, "female voice": 0.6, "organ": 0.8},
        (0.5, 0.95), groove="rock", drums=1.0, bass="bass",
    ),
    "metal": Style(
        (110, 180), {"distorted guitar": 6, "male voice": 1.2, "saw lead": 0.4}, (0.75, 1.0),
        groove="metal", drums=1.0, bass="bass", major=0.1, players=(1, 2),
    ),
    "country": Style(
        (85, 135), {"guitar": 4, "violin": 1.5, "male voice": 1.5, "female voice": 0.8, "piano": 0.5}, (0.3, 0.7),
        groove="train", drums=0.7, bass="bass", major=0.85, swing=0.25,
    ),
    "blues": Style(
        (65, 115), {"guitar": 2.5, "distorted guitar": 1.2, "piano": 1.5, "male voice": 2, "organ": 1}, (0.25, 0.75),
        groove="shuffle", drums=0.9, bass="bass", major=0.6, swing=0.6,
    ),
    "hip hop": Style(
        (76, 106), {"male voice": 3, "synth": 2, "piano": 1, "strings": 0.6, "saw lead": 0.6}, (0.45, 0.9),
        groove="boom bap", drums=1.0, bass="synth bass", major=0.25,
    ),
    "jazz": Style(
        (85, 170), {"saxophone": 2.5, "trumpet": 2, "piano": 3, "guitar": 1}, (0.2, 0.75),
        groove="ride", drums=0.85, bass="bass", swing=0.65,
    ),
    "reggae": Style(
        (62, 95), {"guitar": 2.5, "organ": 2.5, "male voice": 2, "trumpet": 0.5}, (0.35, 0.75),
        groove="one drop", drums=1.0, bass="bass", major=0.6,
    ),
    "folk": Style(
        (70, 125), {"guitar": 4, "violin": 1, "flute": 0.8, "female voice": 1.2, "male voice": 1.2, "harp": 0.6},
        (0.15, 0.6), groove="train", drums=0.15, major=0.65, players=(1, 3),
    ),
    "experimental": Style(
        (50, 160), {"synth": 2, "saw lead": 2, "sitar": 0.6, "organ": 1.2, "choir": 0.8, "flute": 0.6}, (0.1, 1.0),
        groove="sparse", drums=0.5, players=(1, 3), major=0.3,
    ),
    "instrumental": Style(
        (65, 130), {"piano": 3, "guitar": 2, "strings": 1.5, "synth": 1, "cello": 0.8}, (0.2, 0.7),
        groove="pop", drums=0.4, bass="bass",
    ),
    "soul": Style(
        (72, 115), {"organ": 1.5, "female voice": 2.2, "male voice": 1.2, "guitar": 1, "saxophone": 1}, (0.4, 0.8),
        groove="boom bap", drums=0.95, bass="bass", swing=0.2,
    ),
    "easy listening": Style(
        (70, 115), {"strings": 3, "piano": 2, "flute": 1, "saxophone": 0.8}, (0.1, 0.5),
        groove="sparse", drums=0.6, bass="bass", major=0.8,
    ),
    "old-time": Style(
        (90, 140), {"guitar": 2.5, "violin": 3, "male voice": 1}, (0.3, 0.7),
        groove="train", major=0.85, players=(1, 2), swing=0.35,
    ),
    "spoken": Style(
        (60, 110), {"male voice": 3, "female voice": 2}, (0.1, 0.5), groove="sparse", drums=0.15, players=(1, 1),
    ),
}  # fmt: skip
