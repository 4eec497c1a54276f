"""Steps of a training on several sources: which source and which clips follow from seed and number."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.pretraining.source_sampler import SourceSampler


def sampler(part=(0, 1), labelled=(tuple(range(9)), (1, 3, 5, 7, 8, 9, 11)), seed=0):
    rows = [np.array(one, dtype=np.int64) for one in labelled]
    return SourceSampler(
        [100 + 7 * n for n in range(12)], 90, 6, seed, labelled=rows, pairs=[True, False], steps_per_epoch=4, part=part
    )


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 99))
def test_a_step_is_of_one_source_and_its_clips(number, seed):
    whole = sampler(seed=seed)
    items, starts = whole.step(number)
    assert starts.shape == (len(items), 1)
    assert (starts[:, 0] >= 0).all()
    assert (starts[:, 0] <= 10 + 7 * items).all()
    if whole.source(number) == 0:
        left, right = items[:6], items[6:]
        assert ((left == right) == (np.arange(6) % 2 == 1)).all()  # exactly half
        assert len(set(left.tolist())) == 6
        assert set(items.tolist()) <= set(range(9))
    else:
        assert len(set(items.tolist())) == len(items) == 6
        assert set(items.tolist()) <= {1, 3, 5, 7, 8, 9, 11}
    parts = [sampler((rank, 2), seed=seed).step(number) for rank in range(2)]
    sides = [np.split(part[0], len(items) // 6) for part in parts]
    assert np.concatenate([np.concatenate(side) for side in zip(*sides, strict=True)]).tolist() == items.tolist()
    again, same = sampler(seed=seed).step(number)
    assert again.tolist() == items.tolist()
    assert same.tolist() == starts.tolist()


def test_sources_and_partners_are_drawn_evenly():
    found = sampler()
    drawn = Counter(found.source(number) for number in range(4_000))
    assert abs(drawn[0] - 2_000) < 150
    partners: Counter[tuple[int, int]] = Counter()
    for number in range(3_000):
        items, _ = found.of_source(0, number)
        partners.update(zip(items[:6:2].tolist(), items[6::2].tolist(), strict=True))
    counts = np.array([[partners[one, other] for other in range(9)] for one in range(9)])
    assert (np.diag(counts) == 0).all()
    others = counts[~np.eye(9, dtype=bool)]
    assert others.min() > 80 and others.max() < 175  # 125 on average
