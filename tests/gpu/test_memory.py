"""Gradients through time, and the experiments about memory and depth, on the GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from common.recurrent import HGRNCell, LSTMCell, Recurrent
from common.recurrent.gradient_flow import gradient_flow
from tests.gpu.commands import command, options


@pytest.mark.parametrize("cell", ["lstm", "gru", LSTMCell, HGRNCell])
@pytest.mark.parametrize("lengths", [None, [5, 3]])
def test_a_gradient_flow_equals_that_of_the_cpu(device, cell, lengths):
    torch.manual_seed(0)
    network = Recurrent(cell, 3, 4, num_layers=2, bidirectional=True)
    x, norm = torch.randn(2, 5, 3), nn.BatchNorm1d(3)
    flows = []
    for where in ("cpu", device):
        model, inputs = nn.ModuleList([network, norm]).to(where), x.to(where)

        def loss(model=model, inputs=inputs):
            read = model[1](inputs.transpose(1, 2)).transpose(1, 2)
            return model[0](read, lengths)[0].square().sum()

        flows.append(gradient_flow(model, loss))
    assert all(flow.device.type == "cpu" for flow in flows[1].values())
    torch.testing.assert_close(*flows, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("module, more", [
    ("vanishing_gradients", "--length 8 --scales 0.5 3"),
    ("long_memory", "--length 6 --cells lstm mingru rnn --rates 0.01 0.02 --slower 0.5"),
    ("long_memory", "--task copying --length 2 --cells rnn gru --rates 0.01"),
    ("depth", "--layers 2 --networks 1 --data {text}"),
])  # fmt: skip
def test_an_experiment(device, tmp_path: Path, capsys, module, more):
    text, run = tmp_path / "text.txt", tmp_path / "run"
    text.write_text("to be, or not to be\n" * 100)
    name, sizes = f"experiments.{module}", {"run_dir": run, "hidden_size": 8, "batch_size": 4}
    train = options(device=device, precision="fp32", schedule="constant", **sizes)
    command(name, "train", train, more.format(text=text), "--epochs 1")
    command(name, "train", train, more.format(text=text), "--epochs 2 --resume")
    assert "resuming after step" in capsys.readouterr().err
    for where in (device, "cpu"):  # a run is of no device
        command(name, "evaluate", run, f"--device {where}")
        assert "loss" in capsys.readouterr().out or module == "vanishing_gradients"
