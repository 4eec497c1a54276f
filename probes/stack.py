"""Many probes of one shape as stacked weights that take every training step together.

Probes that share a seed and the widths of their layers see the same examples in the same order and start from the
same weights. A *slab* is the members whose input is the same tensor, of one seed, scaled and dropped out alike: their
first layer is one matrix product, however many they are. Gradients are written out, for the chain is short and the
first layer needs none for its input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor
from torch.optim.adam import adam

from probes.draws import dropout_uniforms, dropped_widths, initial_layers
from probes.kinds import Kind
from probes.objectives import objective_of
from probes.protocol import Member, Protocol

#: Numbers held at once while validation examples pass a hidden layer: a cache's worth on a CPU.
_CHUNK = {"cpu": 1 << 20, "cuda": 1 << 27}


class Stack:
    """Probes with the same widths and the same number of examples a step, trained in lockstep.

    Parameters
    ----------
    members, seeds
        Their configurations, and the seed of each; sorted by slab, `order` says how.
    inputs
        Training features [n, D]: as they are under ``False``, standardised under ``True``.
    targets
        [n, C], as `probes.objectives` makes them.
    kind
        Decides the loss.
    course
        Loss, dropout on inputs and outputs, kind of weight decay, Adam's epsilon.
    generators
        Each seed's stream, from which its initial weights are drawn.
    """

    def __init__(
        self,
        members: Sequence[Member],
        seeds: Sequence[int],
        inputs: dict[bool, Tensor],
        targets: Tensor,
        kind: Kind,
        course: Protocol,
        generators: Mapping[int, torch.Generator],
    ) -> None:
        slabs = [(seed, member.dropout, member.standardise) for member, seed in zip(members, seeds, strict=True)]
        self.order = sorted(range(len(members)), key=lambda i: (slabs[i], members[i].learning_rate))
        self.members = [members[i] for i in self.order]
        self._slab_of = [slabs[i] for i in self.order]
        self._inputs, self._targets, self._course = inputs, targets, course
        self._objective = objective_of(kind, course.loss).for_targets(targets)
        self.device = targets.device
        self._widths = [next(iter(inputs.values())).shape[1], *members[0].hidden, targets.shape[1]]
        initial = {
            seed: [tensor.to(self.device) for layer in initial_layers(self._widths, generator) for tensor in layer]
            for seed, generator in generators.items()
        }
        tensors = zip(*(initial[seed] for seed, _, _ in self._slab_of), strict=True)
        self._tensors = [torch.stack(of_members) for of_members in tensors]
        self._moments = [[torch.zeros_like(tensor) for tensor in self._tensors] for _ in range(2)]
        self.steps = 0
        self.factors = [1.0] * len(members)
        self._arrange()

    def _arrange(self) -> None:
        """Find the slabs, and the slices that share Adam's numbers."""
        self._gradients = [torch.empty_like(tensor) for tensor in self._tensors]
        self._slabs: list[tuple[slice, int, bool, float]] = []
        for (seed, dropout, standardise), group in groupby(range(len(self.members)), self._slab_of.__getitem__):
            rows = list(group)
            self._slabs.append((slice(rows[0], rows[-1] + 1), seed, standardise, dropout))
        self.rates_changed()

    def rates_changed(self) -> None:
        """Take up new `factors`, by which the members' learning rates are multiplied."""
        classes: dict[tuple[float, float], list[slice]] = {}
        for i, (member, factor) in enumerate(zip(self.members, self.factors, strict=True)):
            slices = classes.setdefault((member.learning_rate * factor, member.weight_decay), [])
            if slices and slices[-1].stop == i:
                slices[-1] = slice(slices[-1].start, i + 1)
            else:
                slices.append(slice(i, i + 1))
        self._classes = []
        for (rate, decay), slices in classes.items():
            # Weights and biases alternate among the tensors.
            parts = [(slice(None), decay)]
            if decay and not self._course.decay_biases:
                parts = [(slice(0, None, 2), decay), (slice(1, None, 2), 0.0)]
            for part, of_part in parts:
                lists = [
                    [tensor[rows] for tensor in tensors[part] for rows in slices]
                    for tensors in (self._tensors, self._gradients, *self._moments)
                ]
                clock = [torch.tensor(float(self.steps), device=self.device) for _ in lists[0]]
                self._classes.append(((rate, of_part), lists, clock))

    def step(self, batches: Mapping[int, Tensor], factor: float) -> None:
        """One step of Adam on the examples that each seed's batch [B] names, learning rates times `factor`."""
        for seed, slabs in groupby(self._slabs, lambda slab: slab[1]):
            self._gradients_of(seed, list(slabs), batches[seed])
        self.steps += 1
        for (rate, decay), (values, gradients, means, squares), clock in self._classes:
            adam(
                values,
                gradients,
                means,
                squares,
                [],
                clock,
                fused=True,
                decoupled_weight_decay=self._course.decay == "decoupled",
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=rate * factor,
                weight_decay=decay,
                eps=self._course.epsilon,
                maximize=False,
            )

    def _gradients_of(self, seed: int, slabs: Sequence[tuple[slice, int, bool, float]], batch: Tensor) -> None:
        """Leave the loss's gradients of one seed's slabs in `_gradients`."""
        x = {scaled: features[batch] for scaled, features in self._inputs.items()}
        y = self._targets[batch]
        shapes = dropped_widths(self._widths, self._course)
        uniforms: list[Tensor] = []
        if any(dropout for *_, dropout in slabs) and shapes:
            uniforms = dropout_uniforms(seed, self.steps, len(batch), shapes, self.device)
        for rows, _, standardise, dropout in slabs:
            masks = [(u >= dropout).float().div_(1 - dropout) if dropout else None for u in uniforms]
            first = masks.pop(0) if masks and self._course.dropout_input else None
            last = masks.pop() if masks and self._course.dropout_output else None
            features = x[standardise] if first is None else x[standardise] * first
            self._gradient(rows, features, y, masks, last)

    def _gradient(self, rows: slice, x: Tensor, y: Tensor, masks: Sequence[Tensor | None], last: Tensor | None) -> None:
        """Leave the loss's gradient of one slab in `_gradients`; `masks` are of hidden layers, `last` of the output."""
        n, size = rows.stop - rows.start, len(x)
        layers = len(self._widths) - 1
        weights = [tensor[rows] for tensor in self._tensors[::2]]
        biases = [tensor[rows] for tensor in self._tensors[1::2]]
        d_weights = [tensor[rows] for tensor in self._gradients[::2]]
        d_biases = [tensor[rows] for tensor in self._gradients[1::2]]
        out = torch.addmm(biases[0].view(-1), x, weights[0].view(-1, x.shape[1]).T).view(size, n, -1)
        if layers == 1:
            if last is not None:
                out.mul_(last[:, None])
            signal = self._objective.residual_(out, y[:, None])
            if last is not None:
                signal.mul_(last[:, None])
        else:
            hidden: list[Tensor] = []
            out = out.transpose(0, 1)
            for layer in range(1, layers):
                h = torch.empty(out.shape, device=out.device)
                torch.clamp_min(out, 0, out=h)
                mask = masks[layer - 1] if masks else None
                hidden.append(h if mask is None else h.mul_(mask))
                out = torch.baddbmm(biases[layer][:, None], h, weights[layer].transpose(1, 2))
            if last is not None:
                out.mul_(last)
            back = self._objective.residual_(out, y)
            if last is not None:
                back.mul_(last)
            for layer in range(layers - 1, 0, -1):
                h = hidden[layer - 1]
                torch.bmm(back.transpose(1, 2), h, out=d_weights[layer])
                torch.sum(back, dim=1, out=d_biases[layer])
                # A unit that was dropped or negative is zero and passes nothing back.
                back = torch.bmm(back, weights[layer]).mul_(h > 0)
                mask = masks[layer - 1] if masks else None
                if mask is not None:
                    back.mul_(mask)
            signal = back.transpose(0, 1).contiguous()
        flat = signal.view(size, -1)
        torch.mm(flat.T, x, out=d_weights[0].view(-1, x.shape[1]))
        torch.sum(flat, dim=0, out=d_biases[0].view(-1))

    def outputs(self, inputs: dict[bool, Tensor]) -> Tensor:
        """Outputs before the link function for features [n, D]; shape [members, n, C]."""
        n = len(next(iter(inputs.values())))
        found = torch.empty(len(self.members), n, self._widths[-1], device=self.device)
        widest = max(self._widths[1:])
        budget = _CHUNK.get(self.device.type, 1 << 20)
        for rows, _, standardise, _ in self._slabs:
            block = max(1, min(rows.stop - rows.start, budget // (n * widest)))
            size = max(1, budget // (block * widest))
            for start in range(rows.start, rows.stop, block):
                part = slice(start, min(start + block, rows.stop))
                for at in range(0, n, size):
                    found[part, at : at + size] = self._forward(part, inputs[standardise][at : at + size])
        return found

    def _forward(self, rows: slice, x: Tensor) -> Tensor:
        weights = [tensor[rows] for tensor in self._tensors[::2]]
        biases = [tensor[rows] for tensor in self._tensors[1::2]]
        out = torch.addmm(biases[0].view(-1), x, weights[0].view(-1, x.shape[1]).T)
        h = out.view(len(x), rows.stop - rows.start, -1).transpose(0, 1)
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            h = torch.baddbmm(bias[:, None], h.relu_(), weight.transpose(1, 2))
        return h

    def layers_of(self, row: int) -> list[tuple[Tensor, Tensor]]:
        """A copy of the weights and biases of one member."""
        own = [tensor[row].detach().clone() for tensor in self._tensors]
        return list(zip(own[::2], own[1::2], strict=True))

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all members but `rows`, given in ascending order."""
        index = torch.tensor(rows, device=self.device)
        self._tensors = [tensor[index] for tensor in self._tensors]
        self._moments = [[tensor[index] for tensor in tensors] for tensors in self._moments]
        self.members = [self.members[row] for row in rows]
        self._slab_of = [self._slab_of[row] for row in rows]
        self.factors = [self.factors[row] for row in rows]
        self._arrange()
