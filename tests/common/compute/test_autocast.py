"""What autocast keeps for as long as it lasts, and what a GPU's flags are while a model computes."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from common.compute import precision
from common.decoding import BeamSearch, Context, RecurrentDecoder
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.recurrent.fused import SHUT
from common.training import update as update_module
from common.training.progress import Progress
from common.training.selection import Selection
from common.training.trainer import Trainer
from common.training.validation import held_out

VOCABULARY, FEATURES = 11, 7
SENTENCES = [[4, 5, 6], [7], [8, 9]]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vector = nn.Linear(FEATURES, FEATURES)

    def forward(self, vector: torch.Tensor) -> Context:
        vector = self.vector(vector)
        return Context(vector, vector.unsqueeze(1))


def make_model() -> EncoderDecoder:
    decoder = RecurrentDecoder(
        VOCABULARY, 8, 16, FEATURES, memory_size=FEATURES, attention="additive"
    )
    return EncoderDecoder(Encoder(), decoder)


def make_batch() -> Batch:
    return Batch.collate((torch.randn(3, FEATURES),), SENTENCES)


def validated(model: EncoderDecoder, measure) -> None:
    assert Selection(model, Progress(), measure, monitor=None, mode="min").validate() is not None


@pytest.mark.parametrize(
    "look",
    [
        lambda model, batch: model.generate(*batch.inputs, search=BeamSearch(max_length=4)),
        lambda model, batch: model.attention_weights(batch.inputs, SENTENCES),
        lambda model, batch: held_out(model, [batch]),
        lambda model, batch: validated(model, lambda: {"x": model.loss(batch).value}),
    ],
    ids=["generate", "attention weights", "teacher forced", "validation"],
)
def test_a_look_at_the_model_within_autocast_costs_the_loss_no_gradient(look):
    """Autocast keeps a weight that it has cast: in older PyTorch, one without gradient too."""
    model, batch = make_model(), make_batch()
    with torch.autocast("cpu", torch.bfloat16):
        look(model.eval(), batch)
        loss = model.train().loss(batch).value
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_gate_that_is_shut_is_exactly_shut(dtype):
    """Padded steps of an LSTM rely on it, whatever else is added to such a gate's input."""
    shut = torch.tensor([SHUT - 50, SHUT, SHUT + 50], dtype=dtype)
    assert shut.isfinite().all()
    assert (shut.sigmoid() == 1).all() and ((-shut).sigmoid() == 0).all()
    assert (((shut / 2).tanh() + 1) / 2 == 1).all()  # as some kernels compute a sigmoid


def allowances(monkeypatch: pytest.MonkeyPatch, *modules: object) -> list[tuple[str, bool]]:
    """Record where products may be rounded to TensorFloat-32: ("in", allowed), ("out", allowed)."""
    found: list[tuple[str, bool]] = []

    @contextmanager
    def recorded(device: torch.device, allowed: bool):
        found.append(("in", allowed))
        yield
        found.append(("out", allowed))

    for module in modules:
        monkeypatch.setattr(module, "tensor_float32", recorded)
    return found


@pytest.mark.parametrize(("chosen", "allowed"), [("fp32", False), ("bf16", True)])
def test_a_whole_update_and_a_search_follow_the_precision(monkeypatch, chosen, allowed):
    model, batch = make_model(), make_batch()
    found = allowances(monkeypatch, precision, update_module)
    backward = torch.Tensor.backward

    def noted(tensor: torch.Tensor, *arguments: object, **options: object) -> None:
        found.append(("backward", allowed))
        backward(tensor, *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "backward", noted)
    optimizer = torch.optim.AdamW(model.parameters())
    Trainer(model, optimizer, lambda epoch: [batch], max_steps=1, precision=chosen).fit()
    kinds = [kind for kind, _ in found]
    assert all(each == allowed for _, each in found)
    # The backward pass lies between the outer "in" and its "out".
    assert kinds == ["in", "in", "out", "backward", "out"]
    found.clear()
    model.eval().generate(*batch.inputs, precision=chosen, max_length=2)
    assert found == [("in", allowed), ("out", allowed)]


def test_auto_is_chosen_once_by_a_trainer_and_by_each_search(monkeypatch):
    model, batch = make_model(), make_batch()
    monkeypatch.setattr(precision, "bfloat16_speed_up", lambda model, device: 2.0)
    optimizer = torch.optim.AdamW(model.parameters())
    trainer = Trainer(model, optimizer, lambda epoch: [batch], max_steps=1, precision="auto")
    monkeypatch.setattr(precision, "bfloat16_speed_up", lambda model, device: 0.5)
    assert trainer.update.precision == "bf16"
    search = BeamSearch(beam_size=2, max_length=4)
    found = model.eval().generate(*batch.inputs, search=search, precision="auto")
    assert found == model.generate(*batch.inputs, search=search, precision="fp32")
