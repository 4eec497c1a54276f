"""NT-Xent against values of the published implementation and of an independent evaluation of the formula."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.pretraining.ntxent import ntxent, retrieval
from benchmark.pretraining.projector import build_projector
from benchmark.registry.methods import Projector

GOLDEN = json.loads((Path(__file__).parent / "golden" / "ntxent.json").read_text())
CASES = [(case, value) for case in GOLDEN["cases"] for value in case["values"]]


def views(case):
    if case["inputs"] == "arrays":
        return torch.tensor(case["z_i"], dtype=torch.float64), torch.tensor(case["z_j"], dtype=torch.float64)
    n = np.arange(case["N"] * case["D"], dtype=np.float64).reshape(case["N"], case["D"])
    z_i = np.sin(0.7 * n + 0.3) + 0.25 * np.cos(0.013 * n)
    return torch.from_numpy(z_i), torch.from_numpy(z_i + 0.3 * np.sin(1.3 * n + 1.0))


@pytest.mark.parametrize(("case", "value"), CASES, ids=lambda c: str(c.get("N", c.get("temperature"))))
def test_golden_losses_and_gradients(case, value):
    z_i, z_j = (z.requires_grad_() for z in views(case))
    loss = ntxent(z_i, z_j, value["temperature"])
    assert loss.item() == pytest.approx(value["loss_official_float64"], abs=1e-10)
    loss.backward()
    assert z_i.grad.norm().item() == pytest.approx(value["grad_norm_z_i"], abs=1e-10)
    assert z_j.grad.norm().item() == pytest.approx(value["grad_norm_z_j"], abs=1e-10)
    if "grad_z_i" in value:
        np.testing.assert_allclose(z_i.grad, value["grad_z_i"], atol=1e-10)
    assert ntxent(z_i.float(), z_j.float(), value["temperature"]).item() == pytest.approx(
        value["loss_official_float32"], abs=1e-6
    )


def test_golden_projector():
    example = GOLDEN["projector_example"]
    first, second = torch.tensor(example["W1"]), torch.tensor(example["W2"])
    projector = build_projector(Projector(kind="mlp", dim=len(second)), first.shape[1], 0)
    with torch.no_grad():
        projector[0].weight.copy_(first)
        projector[2].weight.copy_(second)
    z_i, z_j = (projector(torch.tensor(example[h])) for h in ("h_i", "h_j"))
    np.testing.assert_allclose(z_i.detach(), example["z_i"], atol=1e-5)
    assert ntxent(z_i, z_j, 0.5).item() == pytest.approx(example["loss"], abs=1e-6)


def test_two_gpus_are_none_of_a_projectors_business(monkeypatch):
    """It is drawn on the CPU, so nobody is warned that several GPUs have generators of their own."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_projector(Projector(kind="mlp", dim=4), 8, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_clmr_projector_has_its_published_size():
    projector = build_projector(Projector(kind="mlp", dim=64), 512, 0)
    assert sum(p.numel() for p in projector.parameters()) == 294_912


def test_equal_rows_cannot_be_told_apart():
    z = torch.ones(4, 8, dtype=torch.float64)
    assert ntxent(z, z, 0.5).item() == pytest.approx(GOLDEN["identities"][0]["loss"], abs=1e-10)


@given(seed=st.integers(0, 10_000), n=st.integers(2, 12), scale=st.floats(0.01, 100))
def test_symmetries(seed, n, scale):
    g = torch.Generator().manual_seed(seed)
    z_i, z_j = torch.randn(2, n, 6, dtype=torch.float64, generator=g)
    loss = ntxent(z_i, z_j, 0.5)
    order = torch.randperm(n, generator=g)
    torch.testing.assert_close(ntxent(z_j, z_i, 0.5), loss)
    torch.testing.assert_close(ntxent(z_i[order], z_j[order], 0.5), loss)
    torch.testing.assert_close(ntxent(scale * z_i, z_j, 0.5), loss)


def test_retrieval_counts_partners_found():
    z = torch.eye(4)
    assert retrieval(z, z) == 1.0
    # The views of clips 2 and 3 are swapped, so half of all views find a stranger.
    assert retrieval(z, z[[0, 1, 3, 2]]) == 0.5
