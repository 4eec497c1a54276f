"""What units do on a task's clips: statistics against NumPy on all rows, known cases, and the figure."""

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f_oneway

from analysis.visualisation.drawings import draw_activation_profile
from benchmark.errors import UserError
from benchmark.visualisation.activations import CHANCE, activation_profile

NAMES = ("rock", "pop", "jazz", "none")


def made(seed=0, clips=30, dim=6, offset=0.0):
    """Rows of clips with 1 to 5 windows, three classes, some clips left out, and a unit of each odd kind."""
    rng = np.random.default_rng(seed)
    first = np.concatenate([[0], np.cumsum(rng.integers(1, 6, clips))])
    classes = rng.integers(-1, 3, clips)
    classes[:6] = [0, 1, 2, 0, 1, 2]
    rows = rng.standard_normal((first[-1], dim)).astype(np.float32) + np.float32(offset)
    rows[:, 1] = np.maximum(rows[:, 1], 0)
    rows[:, 2] = 0.0
    rows[:, 3] += 2 * np.repeat(classes == 1, np.diff(first))
    return rows, first, classes


def test_everything_against_numpy_on_all_rows():
    rows, first, classes = made()
    found = activation_profile(rows, first, classes, NAMES, chosen=3, block=7)
    x = rows.astype(np.float64)
    np.testing.assert_allclose(found.mean, x.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.deviation, x.std(axis=0), atol=1e-12)
    near = np.abs(x) <= 1e-3 * np.sqrt((x**2).mean(axis=0))
    np.testing.assert_allclose(found.zero_share, near.mean(axis=0))
    assert (found.dead, found.windows, found.clips) == (1, len(rows), 30)

    def treves_rolls(values, axis):
        n = values.shape[axis]
        a = np.abs(values).mean(axis=axis) ** 2 / (values**2).mean(axis=axis)
        return (1 - a) / (1 - 1 / n)

    live = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(found.sparsity[live], treves_rolls(x[:, live], 0))
    assert np.isnan(found.sparsity[2])
    assert found.population_sparsity == pytest.approx(treves_rolls(x, 1).mean())
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    assert found.participation_ratio == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())

    means = np.stack([x[a:b].mean(axis=0) for a, b in pairwise(first)])
    groups = [means[classes == k] for k in range(3)]
    assert found.classes == NAMES[:3]
    assert found.class_clips.tolist() == [len(group) for group in groups]
    np.testing.assert_allclose(found.f_ratio[live], f_oneway(*groups).statistic[live])
    labelled = means[classes >= 0]
    between = sum(len(group) * (group.mean(axis=0) - labelled.mean(axis=0)) ** 2 for group in groups)
    with np.errstate(invalid="ignore"):
        eta = between / (len(labelled) * labelled.var(axis=0))
    np.testing.assert_allclose(found.eta_squared, eta)
    assert found.chosen.tolist() == np.argsort(-np.nan_to_num(eta, nan=-1))[:3].tolist()
    best = labelled[:, found.chosen]
    table = np.stack([group.mean(axis=0)[found.chosen] - best.mean(axis=0) for group in groups]) / best.std(axis=0)
    np.testing.assert_allclose(found.table, table)


@settings(max_examples=25)
@given(st.lists(st.floats(-9, 9), min_size=6, max_size=6), st.sampled_from([0.0, 1.0, 300.0]))
def test_a_feature_is_dead_by_its_own_scale(powers, offset):
    """Features of hand-made sets differ by many orders of magnitude; the smallest is as alive as the largest."""
    rows, first, classes = made(offset=offset)
    rows[:, 2] = offset  # says the same of all windows
    found = activation_profile((rows * 10.0 ** np.array(powers)).astype(np.float32), first, classes, NAMES)
    assert found.dead == 1
    if offset == 0:
        plain = activation_profile(rows, first, classes, NAMES)
        np.testing.assert_array_equal(found.zero_share > 0.5, plain.zero_share > 0.5)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 200), st.sampled_from([0.0, -5.0, 1000.0]))
def test_the_size_of_blocks_changes_nothing(seed, block, offset):
    rows, first, classes = made(seed, offset=offset)
    one = activation_profile(rows, first, classes, NAMES)
    other = activation_profile(rows, first, classes, NAMES, block=block)
    for name in (
        "mean",
        "deviation",
        "zero_share",
        "sparsity",
        "eta_squared",
        "f_ratio",
        "table",
        "participation_ratio",
    ):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-7, atol=1e-9, err_msg=name)
    assert (one.chosen == other.chosen).all()


def test_rows_stay_on_disk(tmp_path):
    rows, first, classes = made()
    rows.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.float32, "r", shape=rows.shape)
    one, other = (activation_profile(x, first, classes, NAMES, block=16) for x in (rows, mapped))
    assert one.as_document() == other.as_document()


@pytest.mark.parametrize("dim", [4, 40])
def test_participation_ratio_of_known_cases(dim):
    rng = np.random.default_rng(1)
    first, classes = np.arange(0, 20_001, 10), np.full(2000, -1)
    isotropic = rng.standard_normal((20_000, dim)).astype(np.float32)
    assert activation_profile(isotropic, first, classes, ()).participation_ratio == pytest.approx(dim, rel=0.01)
    line = np.outer(rng.standard_normal(20_000), rng.standard_normal(dim)).astype(np.float32) + 100
    assert activation_profile(line, first, classes, ()).participation_ratio == pytest.approx(1, rel=1e-4)


def test_sparsity_of_known_cases():
    rows = np.zeros((50, 3), np.float32)
    rows[:, 0], rows[7, 1] = -2.0, 3.0
    found = activation_profile(rows, np.arange(51), np.full(50, -1), ())
    np.testing.assert_allclose(found.sparsity[:2], [0, 1], atol=1e-12)
    assert found.zero_share.tolist() == [0.0, 0.98, 1.0]
    # 49 windows that one of three units answers alone, and one with two of them: (5/3)^2 / (13/3) = 25/39.
    assert found.population_sparsity == pytest.approx((49 + (1 - 25 / 39) * 1.5) / 50)


def test_a_unit_that_parts_two_classes_is_found_first_and_chance_is_told():
    rng = np.random.default_rng(2)
    classes = np.arange(60) % 2
    first = np.arange(0, 181, 3)
    rows = rng.standard_normal((180, 50)).astype(np.float32)
    rows[:, 33] += 4 * np.repeat(classes, 3)
    found = activation_profile(rows, first, classes, ("low", "high"), chosen=5)
    assert found.chosen[0] == 33
    assert found.table[0, 0] == pytest.approx(-found.table[1, 0])
    assert found.table[1, 0] > 0.9
    assert found.eta_squared[33] > 0.8 > found.chance_eta > found.eta_squared[found.chosen[1]]
    largest = []
    for seed in range(200):
        noise = np.random.default_rng(seed).standard_normal((60, 50)).astype(np.float32)
        largest.append(activation_profile(noise, np.arange(61), classes, ("a", "b")).eta_squared.max())
    assert abs(np.mean(np.array(largest) > found.chance_eta) - CHANCE) < 0.04


@pytest.mark.parametrize("classes", [np.full(30, -1), np.zeros(30, np.int64), np.r_[0, 1, np.full(28, -1)]])
def test_without_classes_to_compare_the_rest_is_told(classes):
    rows, first, _ = made()
    found = activation_profile(rows, first, classes, NAMES)
    assert len(found.chosen) == 0
    assert np.isnan(found.chance_eta)
    assert np.isfinite(found.participation_ratio)
    document = found.as_document()
    assert document["eta_squared"] == [None] * 6
    told = ElementTree.fromstring(draw_activation_profile(document)).find("{http://www.w3.org/2000/svg}desc").text
    assert told.endswith("There are no classes to compare.")


def test_a_value_that_is_not_finite_is_named():
    rows, first, classes = made()
    rows[41, 3] = np.nan
    with pytest.raises(UserError, match="window 41 of the embeddings"):
        activation_profile(rows, first, classes, NAMES, block=5)
    with pytest.raises(UserError, match="no windows"):
        activation_profile(rows[:0], np.zeros(1, np.int64), classes[:0], NAMES)


def test_the_figure_says_its_numbers_and_is_small():
    rng = np.random.default_rng(3)
    classes = np.repeat(np.arange(50), 8)
    classes[classes == 49] = 0
    rows = np.abs(rng.standard_normal((1600, 512))).astype(np.float32)
    rows[:, :5] = 0
    rows[:1500, 5] = 0
    rows[:, 70] += np.repeat(3 * (classes == 7) + 9.0 * (classes != 8), 4)
    found = activation_profile(rows, np.arange(0, 1601, 4), classes, [f"tag & {k}" for k in range(50)])
    document = found.as_document()
    svg = draw_activation_profile(document, name="profile")
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    told = root.find(f"{space}desc").text
    assert (
        "Over 1,600 windows 5 of 512 units say the same of every window, and 1 more is zero at over half of them."
        in told
    )
    assert f"Sparsity has its median at {np.nanmedian(found.sparsity):.2f}." in told
    assert f"They vary in {found.participation_ratio:,.1f} effective dimensions." in told
    assert (
        "Of 49 classes, of which 40 are drawn, most variance lies between the means of unit 70: eta squared is " in told
    )
    assert told.endswith(f"{found.eta_squared[70]:.2f}, highest for tag & 7 and lowest for tag & 8.")
    assert len(svg) < 150_000
    assert not root.findall(f".//{space}script")
    texts = [text.text for text in root.iter(f"{space}text")]
    assert "tag & 0" in texts
    assert "tag & 48" not in texts
    assert len(list(root.iter(f"{space}image"))) == 1
