"""The files that `bench new encoder` writes: a class that works, its registry entry and its test."""

from __future__ import annotations

import importlib.util
import keyword
import sys
from pathlib import Path
from string import Template

from benchmark.errors import UserError
from benchmark.registry.added_entries import add_entry, with_entry
from benchmark.registry.registry import load_registry
from benchmark.store.store import write_atomically

_ENCODER = Template('''\
"""The encoder $name: from a waveform window to a representation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from encoders.convolutional import ConvolutionalEncoder
from encoders.time_grid import TimeGrid
from torch import Tensor, nn
from torch.nn import functional as F


class $cls(ConvolutionalEncoder):
    """Strided convolutions, averaged over time: replace them by what you want to compare.

    Parameters
    ----------
    widths
        Channels of each layer; the last one has the size of the representation.
    window
        Samples taken at once.
    sample_rate
        Rate of the waveform [Hz].
    """

    def __init__(
        self, *, widths: Sequence[int] = (16, 32, 64, 128), window: int = 22_050, sample_rate: int = 22_050
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.window = window
        self.max_window = window
        self.dim = widths[-1]
        channels = zip((1, *widths[:-1]), widths, strict=True)
        self.blocks = nn.ModuleList(nn.Conv1d(i, o, kernel_size=9, stride=6, padding=4) for i, o in channels)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)

    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be probed, from input to output."""
        return tuple(f"block_{n}" for n in range(1, len(self.blocks) + 1))

    def block_outputs(self, waveform: Tensor) -> Iterator[tuple[str, Tensor, TimeGrid]]:
        """Name, output [B, channels, t] and times of every layer for `waveform` [B, 1, window].

        Means over time of these are what can be probed, and that of the last one is the representation.
        """
        x, times = waveform, TimeGrid()
        for name, block, norm in zip(self.layers(), self.blocks, self.norms, strict=True):
            x = F.relu(norm(block(x)))
            times = times.convolved(kernel=9, stride=6, padding=4)
            yield name, x, times
''')

_TEST = Template('''\
"""What every encoder must do, asked of $name as its registry entry builds it."""

from pathlib import Path

import pytest
import torch
from benchmark.encoding.windows import build_encoder
from benchmark.registry.registry import load_registry


def build(seed=0):
    """The encoder of the entry beside this file, as untrained as `bench run` starts it."""
    registry = load_registry([Path(__file__).with_name("$registry")])
    return build_encoder(registry.encoder("$name"), seed).eval()


@pytest.fixture(scope="module")
def encoder():
    """One encoder for all tests."""
    return build()


@pytest.fixture(scope="module")
def waveform(encoder):
    """Three windows: noise, a tone and silence."""
    torch.manual_seed(0)
    t = torch.arange(encoder.window) / encoder.sample_rate
    return torch.stack([0.1 * torch.randn(encoder.window), torch.sin(2 * torch.pi * 440 * t), 0 * t]).unsqueeze(1)


@torch.inference_mode()
def test_representation_has_the_promised_size_and_is_finite(encoder, waveform):
    """Silence is music too."""
    representation = encoder(waveform)
    assert representation.shape == (3, encoder.dim)
    assert torch.isfinite(representation).all()


@torch.inference_mode()
def test_a_window_does_not_depend_on_its_neighbours(encoder, waveform):
    """What is scored must not depend on the batch it was encoded in."""
    torch.testing.assert_close(encoder(waveform[1:2])[0], encoder(waveform)[1], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_different_windows_are_told_apart(encoder, waveform):
    """A constant would pass everything else."""
    noise, tone, _ = encoder(waveform)
    assert (noise - tone).abs().max() > 1e-4


@torch.inference_mode()
def test_every_layer_can_be_probed(encoder, waveform):
    """One pass gives them all."""
    representation, outputs = encoder.represent(waveform, encoder.layers())
    assert list(outputs) == list(encoder.layers())
    assert all(len(output) == len(waveform) and output.ndim == 2 for output in outputs.values())
    torch.testing.assert_close(representation, encoder(waveform))


@torch.inference_mode()
def test_every_layer_is_the_mean_of_its_frames(encoder, waveform):
    """And these are where they say, in the window."""
    for layer in encoder.layers():
        values, seconds = encoder.frames(waveform, layer)
        torch.testing.assert_close(values.mean(dim=1), encoder(waveform, layer), rtol=1e-4, atol=1e-5)
        assert (seconds.diff() > 0).all()
        assert 0 <= seconds[0] <= seconds[-1] <= encoder.window / encoder.sample_rate


def test_it_starts_from_the_seed():
    """The same seed, the same weights; another seed, others."""
    same, other = build().state_dict(), build(seed=1).state_dict()
    assert all(torch.equal(value, same[key]) for key, value in build().state_dict().items())
    assert any(not torch.equal(value, other[key]) for key, value in same.items())
''')


def write_encoder(name: str, folder: Path, registry: Path) -> list[Path]:
    """Write a module, its test and its registry entry; all of them or none.

    Parameters
    ----------
    name
        Name of the encoder and of its module.
    folder
        Where they are written; made if it is not there.
    registry
        The user's registry file, made or added to.

    Returns
    -------
    list of Path
        Files written: module, test, registry.

    Raises
    ------
    UserError
        If the name cannot be a module's or is taken, a file would be overwritten, or the folder cannot be written.
    """
    _check_name(name)
    if name in load_registry([registry] if registry.exists() else []).sections["encoders"]:
        raise UserError(f"there is an encoder {name!r}; choose another name")
    if registry.resolve().parent != folder.resolve():
        raise UserError(f"{registry}: must lie in {folder}, for entries find their classes beside the registry file")
    cls = "".join(part.capitalize() for part in name.split("_"))
    words = {"name": name, "cls": cls, "registry": registry.name}
    files = {folder / f"{name}.py": _ENCODER, folder / f"test_{name}.py": _TEST}
    for file in files:
        if file.exists():
            raise UserError(f"{file}: already there; choose another name")
    entry = {"class": f"{name}:{cls}", "args": {"widths": [16, 32, 64, 128]}, "description": f"{cls}, from {name}.py"}
    with_entry(registry, "encoders", name, entry)
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, template in files.items():
            write_atomically(file, template.substitute(words).encode())
            written.append(file)
        add_entry(registry, "encoders", name, entry)
    except BaseException as error:
        for file in written:
            file.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"{folder}: cannot write an encoder into it: {error.strerror}") from None
        raise
    return [*written, registry]


def _check_name(name: str) -> None:
    if not (name.isidentifier() and name.islower() and name.isascii()) or keyword.iskeyword(name):
        raise UserError(f"{name!r} cannot name a module; use small letters, digits and _, a letter first")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise UserError(f"{name!r} is the name of a module that Python already has; choose another one")
