"""Seeds of random streams: what they have always been for numbers, and apart for all names."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmark.seeds import mix

SEEDS = st.integers(0, 2**63 - 1)


def test_seeds_of_numbers_never_change():
    assert (mix(0, 0), mix(0, 5), mix(7, 3, 1, 2)) == (7896617691693857887, 6102389744414414618, 8711250018134922203)


@given(SEEDS, st.lists(st.integers(0, 2**40), max_size=3))
def test_numbers_are_mixed_as_numpy_does(seed, numbers):
    expected = np.random.SeedSequence([seed, *numbers]).generate_state(1, np.uint64)[0]
    assert mix(seed, *numbers) == int(expected) // 2
    assert 0 <= mix(seed, *numbers) < 2**63


@given(SEEDS, st.sets(st.text(max_size=12), min_size=2, max_size=6))
def test_every_name_is_a_stream_of_its_own(seed, names):
    found = {mix(seed, name, occurrence) for name in names for occurrence in range(2)}
    found |= {mix(seed), mix(seed, 1)}
    assert len(found) == 2 * len(names) + 2
