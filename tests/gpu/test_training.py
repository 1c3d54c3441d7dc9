"""Training on a GPU: resumed, stopped, out of memory; its generators and the peak of its memory."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from common.decoding import BeamSearch
from common.errors import UserError
from common.models.encoder_decoder import Batch
from common.runs.run import Run
from common.training.batches import grouped
from common.training.checkpoint import random_state, restore_random_state
from common.training.meter import memory_in_use
from common.training.trainer import Trainer
from common.training.validation import held_out
from tests.gpu import pretended
from tests.gpu.test_waits import SENTENCES, make_batches, make_model, make_trainer


class Stopped(BaseException):
    pass


def states_of(run: Run) -> dict:
    state = run.load_training_state()
    assert state is not None
    return state


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("fused", [True, False])
def test_a_resumed_training_equals_an_uninterrupted_one(device, tmp_path, precision, fused):
    """Bit for bit on the pretended GPU, whose kernels are deterministic; nearly on CUDA, where some
    backward kernels are not, and cuDNN's dropout between layers has a state that nobody can read."""

    def fit(folder: str, killed_after: int | None = None) -> Run:
        run = Run.create(tmp_path / folder, "toy", {}, resume=True)
        model = make_model(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=fused)
        trainer = Trainer(
            model, optimizer, make_batches, max_epochs=3, run=run, precision=precision,
            checkpoint_steps=2, average_decay=0.9, seed=3,
        )  # fmt: skip
        update = trainer._update

        def killing(group) -> None:
            if trainer.progress.step == killed_after:
                raise Stopped
            update(group)

        trainer._update = killing  # type: ignore[method-assign]
        trainer.fit()
        return run

    expected = states_of(fit("whole"))
    with pytest.raises(Stopped):
        fit("parts", killed_after=5)
    found = states_of(fit("parts"))
    exact = device.type == pretended.NAME
    for name, tensor in expected["model"].items():
        if exact:
            assert torch.equal(found["model"][name], tensor), name
        else:
            # An update of AdamW moves a weight by about the learning rate, and a gradient near 0 by
            # rounding alone one way or the other; fewer than 7 updates follow the resumption.
            torch.testing.assert_close(found["model"][name], tensor, rtol=0, atol=7 * 2 * 0.01)
    if exact:
        assert torch.equal(found["generators"][0]["device"], expected["generators"][0]["device"])


def test_channels_last_weights_are_resumed(device, tmp_path):
    """A fused optimiser refuses moments whose memory format is not that of their weights."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)

        def loss(self, batch: torch.Tensor):
            from common.training.loss import Loss

            value = self.network(batch).square().mean()
            one = torch.ones((), device=batch.device)
            return Loss(value, one)

    for epochs in (1, 2):
        run = Run.create(tmp_path / "run", "toy", {}, resume=True)
        model = Model().to(device)
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        batches = [torch.randn(2, 3, 4, 4)] * 2
        Trainer(model, optimizer, lambda epoch: batches, max_epochs=epochs, run=run).fit()  # noqa: B023
        moments = optimizer.state[model.network.weight]["exp_avg"]
        assert moments.device == device and moments.stride() == model.network.weight.stride()


def test_validation_draws_nothing_from_the_training(device):
    state = random_state(device)
    expected = torch.rand(3, device=device), torch.rand(3)
    assert restore_random_state(state, device)
    assert torch.equal(torch.rand(3, device=device), expected[0])
    assert torch.equal(torch.rand(3), expected[1])


def test_a_run_of_the_cpu_goes_on_here_and_says_so(device, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", "toy", {})
    make_trainer(make_model(torch.device("cpu")), run, max_epochs=1).fit()
    trainer = make_trainer(make_model(device), run)
    said: list[str] = []
    monkeypatch.setattr(trainer.checkpoint, "say", said.append)
    trainer.fit()
    assert len(said) == 1 and f"was not saved on {device}" in said[0]
    back = make_trainer(make_model(torch.device("cpu")), run, max_epochs=3)
    monkeypatch.setattr(back.checkpoint, "say", said.append)
    back.fit()
    assert len(said) == 2 and "was not saved on cpu" in said[1]


def makers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_the_next_batch_is_made_ahead_and_pinned(device):
    groups = grouped(make_batches(0), device=device)
    for group, _ in groups:
        for batch in group:
            assert batch.targets.is_pinned() and batch.inputs[0].is_pinned()
            there = batch.to(device)
            assert there.targets.device == device and there.lengths.device.type == "cpu"
    assert not makers()


@pytest.mark.parametrize("how", ["limit", "error", "ctrl-c"])
def test_no_thread_is_left_when_training_stops(device, monkeypatch, how):
    trainer = make_trainer(make_model(device), max_steps=2)
    if how != "limit":

        def failing(group) -> None:
            raise KeyboardInterrupt if how == "ctrl-c" else ValueError

        monkeypatch.setattr(trainer, "_update", failing)
        with pytest.raises((KeyboardInterrupt, ValueError)):
            trainer.fit()
    else:
        trainer.fit()
    assert not makers()


def out_of_memory(*arguments: object, **options: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize("where", ["loss", "optimiser", "validation", "search"])
def test_a_lack_of_memory_is_one_line(device, monkeypatch, where):
    model = make_model(device)
    trainer = make_trainer(model)
    batch: Batch = make_batches(0)[0]
    inputs = tuple(tensor.to(device) for tensor in batch.inputs)
    work = {
        "loss": trainer.fit,
        "optimiser": trainer.fit,
        "validation": lambda: held_out(model, [batch]),
        "search": lambda: model.eval().generate(*inputs, batch.lengths, max_length=3, min_length=0),
    }[where]
    if where == "optimiser":
        monkeypatch.setattr(trainer.optimizer, "step", out_of_memory)
    else:
        monkeypatch.setattr(model.encoder, "forward", out_of_memory)
    with pytest.raises(UserError, match=r"out of memory with a batch of 3: lower --batch-size"):
        work()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_real_lack_of_memory_is_one_line(device):
    model = make_model(device)
    tokens = torch.ones(2**22, 2**10, dtype=torch.int8)
    with pytest.raises(UserError, match="out of memory with a batch of 4194304"):
        model.eval().generate(tokens.to(device).int(), torch.full((2**22,), 2**10))


def test_the_peak_of_memory_is_of_the_time_since_the_last_report(device):
    if device.type == pretended.NAME:
        before = pretended.Backend.peaks_reset
        assert memory_in_use(device)["memory/gpu_peak_gib"] == 1.0
        assert pretended.Backend.peaks_reset == before + 1
        return
    memory_in_use(device)
    large = torch.empty(2**28, device=device)
    first = memory_in_use(device)["memory/gpu_peak_gib"]
    del large
    memory_in_use(device)
    assert memory_in_use(device)["memory/gpu_peak_gib"] < first - 0.5


def test_both_flags_of_tensor_float32_follow_the_precision(device):
    if device.type != "cuda":
        pytest.skip("of CUDA")
    from common.compute.precision import arithmetic

    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    for precision in ("fp32", "bf16"):
        with arithmetic(device, precision):
            flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
            assert flags == (precision == "bf16",) * 2
    assert before == (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)


def test_the_same_sentences_are_found_as_on_the_cpu(device):
    from seq2seq.examples import source_batch

    tokens, lengths = source_batch(SENTENCES)
    here = make_model(torch.device("cpu")).eval()
    there = make_model(device).eval()
    options = {"search": BeamSearch(beam_size=4, max_length=12)}
    expected = here.generate(tokens, lengths, **options)
    for precision in ("fp32", "auto"):
        found = there.generate(tokens.to(device), lengths, **options, precision=precision)
        if precision == "fp32":
            for one, other in zip(expected, found, strict=True):
                assert [h.tokens for h in one] == [h.tokens for h in other]
