"""musicnn and its VGG: the taggers of Pons and Serra, whose released weights `bench fetch-weights musicnn` brings.

Sources: Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", ISMIR 2019,
late-breaking demo; Pons et al., "End-to-end learning for music audio tagging at scale", ISMIR 2018; the released
package musicnn 0.1.0, whose TensorFlow graph these networks are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders import EncoderError
from encoders.base import Encoder
from encoders.musicnn_tags import TAGS
from encoders.spectrograms import LogMel
from encoders.time_grid import TimeGrid

SAMPLE_RATE = 16_000
FFT, HOP, BANDS = 512, 256, 96
#: Frames of a patch, which the networks were trained on; the VGG takes no other number.
FRAMES = 187
#: As TensorFlow has it by default.
EPSILON = 1e-3
#: Filters of the timbral convolutions (of 38 and 67 mel bands) and of each temporal one (of so many frames).
TIMBRAL, TEMPORAL = 204, 51
TIMBRAL_BANDS = (38, 67)
TEMPORAL_FRAMES = (128, 64, 32)
MIDDLE = 64
UNITS = 200
VGG_CHANNELS = 128
#: Size and stride of the VGG's max-pools over time and mel bands; the first one skips every other band.
VGG_POOLS = (((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4)))

#: Output [B, channels, t] of a layer and its times, or [B, channels] without time.
Map: TypeAlias = tuple[Tensor, TimeGrid | None]
Part = TypeVar("Part", bound=nn.Module)


class PatchTagger(Encoder):
    """A network that tags patches of 187 frames of a log-mel spectrogram, 2.99 s.

    What only its tags need, the layers behind the representation, is kept in buffers, so that the parameters are those
    of the representation.

    Parameters
    ----------
    tags
        Data whose 50 tags it tells: ``"magnatagatune"`` or ``"million_song"``.

    Attributes
    ----------
    tag_names : tuple of str
        What the values of `tags` are for.
    left_context : int
        Samples before a window that `tags` makes use of.

    Raises
    ------
    EncoderError
        If there are no such tags.
    """

    def __init__(self, tags: Literal["magnatagatune", "million_song"]) -> None:
        super().__init__()
        if tags not in TAGS:
            raise EncoderError(f"tags must be one of {', '.join(TAGS)}, not {tags!r}")
        self.sample_rate = SAMPLE_RATE
        self.window = self.max_window = FRAMES * HOP
        self.left_context = HOP
        self.tag_names = TAGS[tags]
        self.front_end = LogMel(
            sample_rate=SAMPLE_RATE,
            fft=FFT,
            hop=HOP,
            bands=BANDS,
            compression="log10",
            gain=10_000.0,
            offset=1.0,
            last=False,
        )
        self.norm = nn.BatchNorm2d(1, eps=EPSILON)

    @abstractmethod
    def maps(self, features: Tensor) -> dict[str, Map]:
        """Outputs of all layers, in the order of `layers()`, for spectrograms [B, 96, 187]."""

    @abstractmethod
    def pooled(self, maps: Mapping[str, Map]) -> Tensor:
        """The representation [B, dim], from the outputs of all layers."""

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`; outputs of layers are means over time, and over mel bands where there are any."""
        return self.trunk(self.features(waveform), layers)

    def features(self, waveform: Tensor) -> Tensor:
        """Log-mel spectrogram [B, 96, 187] of waveforms [B, 1, T], mels rounded to 16 bits as the released code does.

        Compression is in 32 bits: in 16, as the released code has it under NumPy 2, loud mels would become infinite.
        """
        with torch.autocast(waveform.device.type, enabled=False):
            return self.front_end.compressed(self.front_end.mels(waveform[:, 0]).half().float())

    def trunk(self, features: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `FrontEndAndTrunk.trunk`."""
        maps = self.maps(features)
        means = {name: maps[name][0] for name in layers}
        return self.pooled(maps), {name: x.mean(dim=2) if x.ndim == 3 else x for name, x in means.items()}

    def tags(self, waveform: Tensor) -> Tensor:
        """See `encoders.capabilities.Tagger.tags`.

        A window begins in the middle of its first frame, whose other half lies before it: heard, it makes patches of
        the spectrogram of the whole clip, which is what the released code cuts.
        """
        return self.maps(self.features(waveform)[:, :, -FRAMES:])["tags"][0]

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """Output of a layer over time; of those without time, and of the representation, one frame.

        See `Encoder.frames`.
        """
        if layer is None:
            return super().frames(waveform)
        self._check_input(waveform)
        self._check_layer(layer)
        x, grid = self.maps(self.features(waveform))[layer]
        if grid is None or x.shape[2] == 1:
            grid = TimeGrid.equal_parts(waveform.shape[2], 1)
        values = x.transpose(1, 2) if x.ndim == 3 else x.unsqueeze(1)
        return values, grid.seconds(values.shape[1], self.sample_rate)

    def unpublished(self) -> tuple[str, ...]:
        """The window and the mel filters."""
        return ("front_end.",)


class Musicnn(PatchTagger):
    """musicnn: convolutions as tall as timbres and as long as rhythms, and three with dense connections over them.

    The representation is mean and maximum over time of what the front end and the three middle layers give, 1,506
    values, as in jukemir (Castellon et al. 2021). Layers: ``timbral`` (408 values) and ``temporal`` (153), the parts of
    ``frontend``; ``cnn1``, ``cnn2`` and ``cnn3`` (64 each); ``mean_pool`` and ``max_pool`` (753); ``penultimate``
    (200); ``tags`` (50 probabilities).
    """

    def __init__(self, tags: Literal["magnatagatune", "million_song"]) -> None:
        super().__init__(tags)
        self.timbral = nn.ModuleList(
            Convolution(1, TIMBRAL, (7, bands), padding=(0, 0, 3, 3)) for bands in TIMBRAL_BANDS
        )
        # As TensorFlow fills up to the length of the input: of an even kernel, one more behind.
        self.temporal = nn.ModuleList(
            Convolution(1, TEMPORAL, (long, 1), padding=(0, 0, (long - 1) // 2, long // 2)) for long in TEMPORAL_FRAMES
        )
        front = len(TIMBRAL_BANDS) * TIMBRAL + len(TEMPORAL_FRAMES) * TEMPORAL
        self.middle = nn.ModuleList(
            Convolution(1, MIDDLE, (7, width), padding=(0, 0, 3, 3)) for width in (front, MIDDLE, MIDDLE)
        )
        self.dim = 2 * (front + 3 * MIDDLE)
        self.head = in_buffers(
            nn.Sequential(
                nn.BatchNorm1d(self.dim, eps=EPSILON),
                nn.Linear(self.dim, UNITS),
                nn.ReLU(),
                nn.BatchNorm1d(UNITS, eps=EPSILON),
                nn.Linear(UNITS, len(self.tag_names)),
            )
        )

    def layers(self) -> tuple[str, ...]:
        """See the class."""
        return (
            *("timbral", "temporal", "frontend", "cnn1", "cnn2", "cnn3"),
            *("mean_pool", "max_pool", "penultimate", "tags"),
        )

    def maps(self, features: Tensor) -> dict[str, Map]:
        """See `PatchTagger.maps`."""
        x = self.norm(features.transpose(1, 2).unsqueeze(1))  # [B, 1, t, bands]
        timbral = torch.cat([block(x).amax(dim=3) for block in self.timbral], dim=1)
        temporal = torch.cat([block(x).amax(dim=3) for block in self.temporal], dim=1)
        front = torch.cat([timbral, temporal], dim=1)
        middle: list[Tensor] = []
        for number, block in enumerate(self.middle):
            before = middle[-1] if number else front
            after = block(before.transpose(1, 2).unsqueeze(1)).squeeze(3)
            middle.append(after + before if number else after)
        joined = torch.cat([front, *middle], dim=1)
        largest = joined.amax(dim=2)
        # Maximum and mean of a channel stand side by side, as in the released weights.
        penultimate = self.head[:4](torch.stack([largest, joined.mean(dim=2)], dim=2).flatten(1))
        tags = torch.sigmoid(self.head[4](penultimate))
        grid = TimeGrid(0.0, HOP)
        timed = [timbral, temporal, front, *middle, joined]
        found: dict[str, Map] = {name: (x, grid) for name, x in zip(self.layers(), timed, strict=False)}
        for name, x in (("max_pool", largest), ("penultimate", penultimate), ("tags", tags)):
            found[name] = (x, None)
        return found

    def pooled(self, maps: Mapping[str, Map]) -> Tensor:
        """See `PatchTagger.pooled`."""
        return torch.cat([maps["mean_pool"][0].mean(dim=2), maps["max_pool"][0]], dim=1)


class MusicnnVgg(PatchTagger):
    """The VGG released beside musicnn: five small convolutions, each with a max-pool.

    The representation is the last pool's output, 128 channels at two times, 256 values. Layers: ``pool1`` to ``pool5``
    (128 values each), and ``tags`` (50 probabilities).
    """

    def __init__(self, tags: Literal["magnatagatune", "million_song"]) -> None:
        super().__init__(tags)
        self.blocks = nn.ModuleList(
            Convolution(1 if number == 0 else VGG_CHANNELS, VGG_CHANNELS, (3, 3), padding=(1, 1, 1, 1))
            for number in range(len(VGG_POOLS))
        )
        self.dim = 2 * VGG_CHANNELS
        self.head = in_buffers(nn.Linear(self.dim, len(self.tag_names)))

    def layers(self) -> tuple[str, ...]:
        """See the class."""
        return (*(f"pool{number}" for number in range(1, len(VGG_POOLS) + 1)), "tags")

    def maps(self, features: Tensor) -> dict[str, Map]:
        """See `PatchTagger.maps`."""
        x = self.norm(features.transpose(1, 2).unsqueeze(1))
        grid = TimeGrid(0.0, HOP)
        found: dict[str, Map] = {}
        for number, (block, (size, stride)) in enumerate(zip(self.blocks, VGG_POOLS, strict=True), 1):
            x = F.max_pool2d(block(x), size, stride)
            grid = grid.convolved(size[0], stride[0])
            found[f"pool{number}"] = (x.mean(dim=3), grid)
        found["tags"] = (torch.sigmoid(self.head(self._flat(x))), None)
        found["last"] = (self._flat(x), None)
        return found

    def pooled(self, maps: Mapping[str, Map]) -> Tensor:
        """See `PatchTagger.pooled`."""
        return maps["last"][0]

    @staticmethod
    def _flat(x: Tensor) -> Tensor:
        """[B, channels, t, bands] -> [B, t bands channels], in the order of the released weights."""
        return x.permute(0, 2, 3, 1).flatten(1)


class Convolution(nn.Module):
    """Zeros around, convolution over time and mel bands, rectifier, batch norm: in this order, as released."""

    def __init__(
        self, channels_in: int, channels: int, kernel: tuple[int, int], padding: tuple[int, int, int, int]
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel)
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON)
        self._padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, t, bands] -> [B, channels, t', bands']."""
        return cast(Tensor, self.norm(F.relu(self.conv(F.pad(x, self._padding)))))


def in_buffers(module: Part) -> Part:
    """`module` with its parameters, and those of its parts, made buffers."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
    return module
