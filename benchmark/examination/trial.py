"""What `bench doctor --full` tries: a training step, a product of matrices on the GPU, both sources of mel filters."""

from __future__ import annotations

import tempfile

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmark.encoding.windows import device, exact_float32
from encoders import filter_banks

#: Side of the matrices that are multiplied, and the largest difference to the CPU's product of them [relative].
_SIDE = 256
_TOLERANCE = 1e-4


def training_step() -> str:
    """One step of a tiny model with Lightning, where bench would train; says where that was.

    Raises
    ------
    RuntimeError
        If the step changes nothing.
    """
    import lightning.pytorch as pl

    class Line(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(2, 1)

        def training_step(self, batch: list[Tensor], number: int) -> Tensor:
            del number
            loss: Tensor = self.line(batch[0]).square().mean()
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    model = Line()
    before = model.line.weight.detach().clone()
    with tempfile.TemporaryDirectory(prefix="bench-doctor-") as folder:
        trainer = pl.Trainer(
            max_steps=1,
            accelerator="gpu" if device().type == "cuda" else "cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(model, DataLoader(TensorDataset(torch.ones(4, 2)), batch_size=4))
    if torch.equal(model.line.weight.detach().cpu(), before):
        raise RuntimeError("a training step leaves the weights as they were")
    return f"one step with Lightning on {device().type}"


def product() -> str:
    """A product of matrices on the GPU, compared with the CPU's; says on which, or that there is none.

    Raises
    ------
    RuntimeError
        If the two differ.
    """
    if not torch.cuda.is_available():
        return "no GPU that torch can use"
    a, b = torch.randn(2, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    with exact_float32():
        found = (a.cuda() @ b.cuda()).cpu()
    error = float((found - a @ b).abs().max() / (a @ b).abs().max())
    if not error < _TOLERANCE:
        raise RuntimeError(f"the GPU's product of two matrices differs from the CPU's by {error:.1e} of it")
    return f"{torch.cuda.get_device_name()} multiplies as the CPU does"


def mel_filters() -> str:
    """Where mel filters come from; torchaudio's are compared with our own.

    Raises
    ------
    RuntimeError
        If the two differ.
    """
    if filter_banks.torchaudio_fault():
        return "computed by bench itself"
    theirs, ours = filter_banks.mel_filters(1025, 128, 22_050), filter_banks.own_mel_filters(1025, 128, 22_050)
    error = float((theirs - ours).abs().max())
    if not error < 1e-6:
        raise RuntimeError(f"torchaudio's differ from those that bench computes by {error:.1e}")
    return "torchaudio's, the same that bench computes without it"
