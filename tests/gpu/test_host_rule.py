"""What leaves a model is on the host, by one rule: attention, hypotheses, states, figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from common.compute.device import map_tensors, moved, to_host
from common.models.ensemble import EnsembleModel
from common.models.tokens import token_figures
from common.runs.run import Run
from common.training.validation import held_out
from seq2seq.examples import source_batch
from tests.gpu.test_waits import MODELS, SENTENCES, make_batches, make_model, make_trainer

LOOKING = [name for name, options in MODELS.items() if options.get("attention", "additive")]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("kind", LOOKING)
def test_attention_is_float32_on_the_host(device, kind, members, precision):
    models = [make_model(device, **MODELS[kind]).eval() for _ in range(members)]
    model = models[0] if members == 1 else EnsembleModel(models)
    tokens, lengths = source_batch(SENTENCES)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        found = model.attention_weights((tokens.to(device), lengths), SENTENCES)
    for weights, words in zip(found, SENTENCES, strict=True):
        assert weights.device.type == "cpu" and weights.dtype == torch.float32
        assert weights.shape == (len(words) + 1, tokens.shape[1])
        np.testing.assert_allclose(weights.numpy().sum(1), 1, atol=1e-2)


def test_without_attention_there_is_none(device):
    model = make_model(device, **MODELS["context vector"]).eval()
    tokens, lengths = source_batch(SENTENCES)
    assert model.attention_weights((tokens.to(device), lengths), SENTENCES) is None


def test_figures_are_plain_numbers(device):
    figures = held_out(make_model(device).eval(), make_batches(0), token_figures)
    assert all(type(value) is float for value in figures.values())


def test_all_that_a_run_holds_is_of_the_host(device, tmp_path):
    run = Run.create(tmp_path / "run", "toy", {})
    trainer = make_trainer(make_model(device), run, average_decay=0.9)
    trainer.fit()
    state = torch.load(run.path / "training.pt", weights_only=True)  # without map_location
    devices: set[str] = set()
    map_tensors(state, lambda tensor: devices.add(str(tensor.device)) or tensor)
    assert devices == {"cpu"}
    saved = load_file(run.path / "model.safetensors")
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(saved[name], tensor.cpu()), name


def test_states_survive_the_way_there_and_back(device):
    convolution = torch.nn.Conv2d(3, 5, 2).to(memory_format=torch.channels_last)
    weight = torch.randn(3, 4)
    state = {
        "channels last": convolution.weight.detach(),
        "tied": [weight, weight],
        "scalar": torch.tensor(2),
        "half": torch.randn(5).bfloat16(),
        "transposed": torch.randn(3, 4).t(),
    }
    there = moved(state, device)
    assert there["tied"][0] is there["tied"][1]
    back = to_host(there)
    for name in ("channels last", "scalar", "half", "transposed"):
        assert there[name].device == device
        assert torch.equal(back[name], state[name]) and back[name].stride() == state[name].stride()
