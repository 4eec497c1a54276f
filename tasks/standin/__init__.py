"""Small synthetic corpora in the layouts of real datasets, so that everything runs where no music is at hand.

The parts, from sound to folder: `instruments` makes single notes and drum hits, `composer` invents artists, albums
and songs, `score` writes a song out in notes, `renderer` plays a stretch of it, `tagger` describes it in words, and
one module a dataset writes the published layout.

Everything is drawn from generators seeded with (seed, kind, index), so the same seed gives the same music and any
item can be made alone. Samples are the same to within one step of 16 bits on any machine; the bytes of compressed
files depend on the encoder's version.
"""
