"""Models of the Hugging Face Hub that take what their own processor makes of a waveform, such as a spectrogram."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from encoders import EncoderError
from encoders.time_grid import TimeGrid

#: Names under which processors give what a model of audio takes.
_INPUTS = ("input_features", "input_values")
#: Attributes of processors that say how many samples they keep of a waveform.
_KEPT = ("nb_max_samples", "n_samples")
#: Processors that keep so many frames of ten milliseconds.
_KEPT_FRAMES = frozenset({"ASTFeatureExtractor"})
#: Lengths of silence by whose numbers of frames their distance is measured [s].
_MEASURED = (1.0, 3.0)


class FeatureModel:
    """A network behind its processor, whose frames are counted and not computed from its configuration.

    Parameters
    ----------
    processor
        Makes the network's input of waveforms.
    network
        All of the model, or the part of it that hears.
    sample_rate
        Rate of the waveform [Hz].
    channels_first
        Whether the network gives [B, channels, t] and not [B, t, channels].
    name
        What the model is called, for errors.

    Attributes
    ----------
    states : int
        Number of hidden states that the network gives; 0 if it gives none.
    dim : int
        Number of values in a frame of its last output.

    Raises
    ------
    EncoderError
        If the processor gives no input for a model of audio, or the network no frames.
    """

    def __init__(
        self, processor: Any, network: nn.Module, sample_rate: int, *, channels_first: bool, name: str
    ) -> None:
        self._processor = processor
        self._network = network.eval()
        self._rate = sample_rate
        self._first = channels_first
        self._name = name
        taken = inspect.signature(network.forward).parameters
        self._taken = set(taken) if not any(each.kind == each.VAR_KEYWORD for each in taken.values()) else None
        self._main = next((each for each in taken if each not in ("self", "args", "kwargs")), "")
        self._gives_states = self._taken is None or "output_hidden_states" in self._taken
        counts = []
        with torch.inference_mode():
            for seconds in _MEASURED:
                frames, states = self(torch.zeros(1, round(seconds * sample_rate)), True)
                counts.append(frames.shape[1])
        self.dim, self.states = int(frames.shape[2]), len(states)
        longer = (_MEASURED[1] - _MEASURED[0]) * sample_rate
        self._hop = longer / (counts[1] - counts[0]) if counts[1] > counts[0] else None

    def longest(self) -> int | None:
        """Samples that the processor keeps of a waveform, which it would cut without a word; ``None`` if all."""
        if type(self._processor).__name__ in _KEPT_FRAMES:
            return int(self._processor.max_length * self._rate / 100)
        kept = [int(getattr(self._processor, each)) for each in _KEPT if getattr(self._processor, each, None)]
        return min(kept) if kept else None

    def __call__(self, audio: Tensor, all_states: bool) -> tuple[Tensor, Sequence[Tensor]]:
        """Frames [B, t, channels] of the last output, and of every hidden state, for waveforms [B, T]."""
        given = self._processor(list(audio.cpu().numpy()), sampling_rate=self._rate, return_tensors="pt")
        key = next((each for each in _INPUTS if each in given), None)
        if key is None:
            raise EncoderError(f"{self._name}: its processor gives {', '.join(given)}, and no input of audio")
        where = next((one.device for one in self._network.parameters()), torch.device("cpu"))
        values = {each: value.to(where) for each, value in given.items() if isinstance(value, Tensor)}
        if self._taken is not None:
            # A part of a model calls its only input as it likes.
            values = {each: value for each, value in values.items() if each in self._taken} or {self._main: values[key]}
        options = {"output_hidden_states": True} if all_states and self._gives_states else {}
        output = self._network(**values, **options)
        if isinstance(output, Tensor):
            return self._frames(output), ()
        last = getattr(output, "last_hidden_state", None)
        if isinstance(getattr(output, "hidden_states", None), Tensor):  # Dasheng gives its last ones alone
            return self._frames(output.hidden_states), ()
        if last is None:
            raise EncoderError(f"{self._name}: gives no last_hidden_state; name the part of it that does with `part`")
        states: Sequence[Tensor] = getattr(output, "hidden_states", None) or ()
        return self._frames(last), [self._frames(state) for state in states] if all_states else ()

    def grid(self, samples: int, count: int) -> TimeGrid:
        """When the frames of a waveform are; of models whose input has one length, they are no stretches of time."""
        if self._hop is None or count == 1:
            return TimeGrid.equal_parts(samples, max(count, 1))
        return TimeGrid.centred(samples, count, self._hop)

    @property
    def timed(self) -> bool:
        """Whether a longer waveform gives more frames."""
        return self._hop is not None

    def _frames(self, values: Tensor) -> Tensor:
        """[B, t, channels] of what a network gives; maps [B, channels, bands, t] are taken as so many frames."""
        if values.ndim == 4:
            return values.flatten(2).transpose(1, 2)
        if values.ndim != 3:
            raise EncoderError(f"{self._name}: gives values of shape {list(values.shape)}, and no frames")
        return values.transpose(1, 2) if self._first else values


def audio_part(network: nn.Module, part: str | None, name: str) -> nn.Module:
    """The part of a model that hears: the one of that name, an audio tower, an encoder before a decoder, or all of it.

    Raises
    ------
    EncoderError
        If there is no part of that name, or the model does not take audio.
    """
    tower: Any = network
    if part is not None:
        found: nn.Module | None = dict(network.named_modules()).get(part)
        if found is None:
            known = ", ".join(each for each, _ in network.named_children())
            raise EncoderError(f"{name}: has no part {part!r}; it has {known}")
        return found
    if hasattr(network, "audio_model"):
        tower = tower.audio_model
    else:
        main = str(getattr(network, "main_input_name", _INPUTS[0]))
        if main not in _INPUTS:
            raise EncoderError(f"{name}: takes {main}, which is no audio")
        if getattr(tower.config, "is_encoder_decoder", False) and hasattr(network, "get_encoder"):
            tower = tower.get_encoder()
    assert isinstance(tower, nn.Module)
    return tower
