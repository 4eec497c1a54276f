"""The chain of contrastive learning of musical representations, from a batch of crops to a batch of views."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmark.augmentation.batches import beside
from benchmark.augmentation.config import AugmentationConfig
from benchmark.augmentation.draws import Draws, draw
from benchmark.augmentation.filters import high_low_pass
from benchmark.augmentation.pitch import pitch_shift
from benchmark.augmentation.reverb import reverb
from benchmark.augmentation.simple import delay, gain, noise, polarity

# Examples changed at a time. On a CPU the temporaries of a few fit its cache (pitch has a loop to share among
# many); a device wants large batches, of which temporaries take some 5 MB an example.
_CPU_LIMIT = 4
_CPU_LIMIT_PITCH = 16
_DEVICE_LIMIT = 128


class AugmentationChain:
    """Random polarity, noise, gain, filter, delay, pitch and reverb, in this published order, after cropping.

    Parameters
    ----------
    config
        Probability and range of each step.
    sample_rate
        Sample rate [Hz].

    Examples
    --------
    >>> chain = AugmentationChain(config, sample_rate=22_050)  # doctest: +SKIP
    >>> views = chain(crops, torch.Generator().manual_seed(0))  # doctest: +SKIP
    """

    def __init__(self, config: AugmentationConfig, sample_rate: int) -> None:
        highest = max(config.filter.high_pass_hz[1], config.filter.low_pass_hz[1])
        if highest > sample_rate / 2:
            raise ValueError(f"a filter's cutoff of {highest:g} Hz is above half the sample rate of {sample_rate} Hz")
        self.config = config
        self.sample_rate = sample_rate

    def __call__(self, waveform: Tensor, generator: torch.Generator) -> Tensor:
        """Return an augmented copy of a batch.

        Parameters
        ----------
        waveform : Tensor of float32, shape [B, T]
            Crops, -1 to 1, on any device. Mixed precision must be off around this call.
        generator
            Source of all randomness, on the CPU. The same state gives the same bits on one device.

        Returns
        -------
        Tensor of float32, shape [B, T]
            Examples that no step selects are unchanged to the bit.
        """
        return self.apply(waveform, self.draw(len(waveform), generator))

    def draw(self, batch: int, generator: torch.Generator) -> Draws:
        """Draw the parameters of `batch` examples from a generator on the CPU."""
        if generator.device.type != "cpu":
            raise ValueError(f"parameters are drawn on the CPU, but the generator is on {generator.device}")
        return draw(self.config, batch, generator)

    @torch.no_grad()
    def apply(self, waveform: Tensor, draws: Draws) -> Tensor:
        """Return a copy of a batch [B, T], augmented with given parameters."""
        if waveform.ndim != 2 or waveform.dtype != torch.float32:
            raise ValueError(f"augmentation takes float32 [B, T], not {waveform.dtype} {list(waveform.shape)}")
        config, rate = self.config, self.sample_rate
        samples = torch.Generator(waveform.device).manual_seed(draws.noise_seed)
        on_cpu = waveform.device.type == "cpu"
        limit = _CPU_LIMIT if on_cpu else _DEVICE_LIMIT
        limit_pitch = _CPU_LIMIT_PITCH if on_cpu else _DEVICE_LIMIT
        out = waveform.clone(memory_format=torch.contiguous_format)

        def add_noise(x: Tensor, rows: Tensor) -> Tensor:
            relative = config.noise.reference == "std"
            return noise(x, draws.noise_level[rows], samples, relative=relative, clamp=config.noise.clamp)

        def add_echo(x: Tensor, rows: Tensor) -> Tensor:
            return delay(x, draws.delay_ms[rows], rate, factor=config.delay.factor, halve=config.delay.halve)

        def add_room(x: Tensor, rows: Tensor) -> Tensor:
            return reverb(x, draws.reverberance[rows], draws.hf_damping[rows], draws.room_scale[rows], rate)

        _change(out, draws.polarity, lambda x, _: polarity(x), limit)
        _change(out, draws.noise, add_noise, limit)
        _change(out, draws.gain, lambda x, rows: gain(x, draws.gain_db[rows]), limit)
        _change(
            out,
            draws.filter,
            lambda x, rows: high_low_pass(x, draws.filter_hz[rows], draws.filter_high[rows], rate),
            limit,
        )
        _change(out, draws.delay, add_echo, limit)
        _change(out, draws.pitch, lambda x, rows: pitch_shift(x, draws.pitch_cents[rows], rate), limit_pitch)
        _change(out, draws.reverb, add_room, limit)
        return out


def _change(waveform: Tensor, selected: Tensor, function: Callable[[Tensor, Tensor], Tensor], limit: int) -> None:
    """Replace the selected examples [B] of a batch [B, T] by what a function makes of them, some at a time.

    The function takes the examples and their rows on the CPU, where the parameters are.
    """
    for rows in torch.split(selected.nonzero().view(-1), limit):
        if len(rows) == 0:  # an empty tensor splits into one empty part
            return
        index = beside(rows, waveform)
        waveform.index_copy_(0, index, function(waveform.index_select(0, index), rows))
