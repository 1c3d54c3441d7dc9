"""Training an encoder-decoder on its own predictions: counted, resumed, never in validation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from common.decoding import (
    BeamSearch,
    Context,
    Greedy,
    RecurrentDecoder,
    Sampling,
    ScheduledSampling,
    constant_ratio,
    linear_ratio,
)
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.runs.run import Run
from common.runs.weights import load_weights, save_weights
from common.text.vocabulary import BOS, EOS, PAD
from common.training.trainer import Trainer

V, C = 11, 7
SENTENCES = [[4, 5, 6, 7], [7, 7], [8, 9, 10, 4, 5], [9]]


def make_model(schedule=None, **options) -> EncoderDecoder:
    torch.manual_seed(0)
    decoder = RecurrentDecoder(V, 16, 32, C, inject=("init", "every"))
    sampling = ScheduledSampling(schedule, forbidden=(PAD, BOS), **options) if schedule else None
    return EncoderDecoder(lambda vector: Context(vector), decoder, scheduled_sampling=sampling)


def make_batch(seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch.collate((torch.randn(4, C, generator=generator),), SENTENCES)


def test_a_ratio_of_one_is_teacher_forcing_to_the_bit():
    batch = make_batch()
    plain, always = make_model(), make_model(constant_ratio(1))
    assert torch.equal(plain.loss(batch).value, always.loss(batch).value)


def test_validation_is_teacher_forced_and_not_counted():
    batch = make_batch()
    plain, never = make_model().eval(), make_model(constant_ratio(0)).eval()
    assert torch.equal(plain.loss(batch).value, never.loss(batch).value)
    assert never.scheduled_sampling.batches == 0
    assert never.train().loss(batch).value != plain.loss(batch).value
    assert never.scheduled_sampling.batches == 1


@pytest.mark.parametrize(("per", "words"), [("token", "likeliest"), ("sentence", "sampled")])
def test_it_learns_from_its_own_predictions(per, words):
    model, batch = make_model(linear_ratio(150), per=per, words=words), make_batch()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.value.backward()
        optimizer.step()
    assert loss.value.item() < 0.1  # by now it is fed nothing but predictions
    found = model.eval().generate(*batch.inputs, search=Greedy(max_length=10))
    assert [hypotheses[0].tokens for hypotheses in found] == SENTENCES


def test_a_search_in_bf16_scores_nearly_as_in_fp32_and_leaves_the_weights_alone():
    model, batch = make_model().eval(), make_batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    search = BeamSearch(beam_size=3, max_length=8)
    wide = model.generate(*batch.inputs, search=search)
    narrow = model.generate(*batch.inputs, search=search, precision="bf16")
    scores = [found[0].log_probability for found in narrow]
    assert scores == pytest.approx([found[0].log_probability for found in wide], rel=0.02)
    assert scores != [found[0].log_probability for found in wide]  # it was computed in bf16
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) and value.dtype == before[name].dtype


def test_length_norm_says_what_the_penalty_is_an_exponent_of():
    model, batch = make_model().eval(), make_batch()
    options = {"beam_size": 4, "n_best": 4, "max_length": 6, "length_penalty": 1.4}
    found = model.generate(*batch.inputs, search=BeamSearch(**options, length_norm="gnmt"))
    for hypothesis in sum(found, []):
        length = len(hypothesis.tokens) + hypothesis.finished
        expected = hypothesis.log_probability / ((5 + length) / 6) ** 1.4
        assert hypothesis.score == pytest.approx(expected, rel=1e-5)
    assert found != model.generate(*batch.inputs, search=BeamSearch(**options))


def test_a_language_model_trains_and_samples():
    """Neither vector nor memory: what follows is learnt from the tokens alone."""
    torch.manual_seed(0)
    decoder = RecurrentDecoder(V, 16, 32, inject=())
    model = EncoderDecoder(lambda rows: Context.nothing(len(rows), rows), decoder)
    rows = torch.zeros(4, 1)
    batch = Batch.collate((rows,), [[4, 5, 6], [4, 5, 6], [7, 8], [7, 8]])
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(120):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.value.backward()
        optimizer.step()
    # The first token is one of two: log 2 of 3.5 tokens; the rest is certain.
    assert loss.value.item() == pytest.approx(math.log(2) / 3.5, abs=0.02)
    model.eval()
    sampling = Sampling(num_samples=50, max_length=8)
    generator = torch.Generator().manual_seed(1)
    found = model.generate(rows[:2], search=sampling, generator=generator)
    frequency = [h.tokens == [4, 5, 6] for best in found for h in best]
    assert len(frequency) == 100 and 30 <= sum(frequency) <= 70
    assert sum(h.tokens == [7, 8] for best in found for h in best) > 20
    (best,) = BeamSearch(beam_size=2, n_best=2)(
        decoder, Context.nothing(1, decoder.output.weight), bos=BOS, eos=EOS
    )
    assert sorted(h.tokens for h in best) == [[4, 5, 6], [7, 8]]
    assert model.attention_weights((rows,), [[4, 5]] * 4) is None


def test_weights_without_scheduled_sampling_are_as_before(tmp_path):
    assert "scheduled_sampling" not in " ".join(make_model().state_dict())
    trained = make_model(linear_ratio(4))
    trained.loss(make_batch())
    save_weights(tmp_path / "model.safetensors", trained.state_dict())
    restored = make_model(linear_ratio(4))
    load_weights(tmp_path / "model.safetensors", restored)
    assert restored.scheduled_sampling.batches == 1


def test_a_resumed_training_goes_on_down_the_schedule_bit_for_bit(tmp_path):
    def train(name: str, *limits: int) -> dict[str, Tensor]:
        for limit in limits:
            model = make_model(linear_ratio(12))
            trainer = Trainer(
                model,
                torch.optim.AdamW(model.parameters(), 0.01),
                lambda epoch: [make_batch(4 * epoch + i) for i in range(4)],
                max_steps=limit,
                accumulate=2,
                average_decay=0.9,
                run=Run.create(tmp_path / name, "toy", {}, resume=(tmp_path / name).exists()),
            )
            trainer.fit()
        return model.state_dict()

    whole, resumed = train("whole", 7), train("resumed", 3, 7)
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
    assert whole["scheduled_sampling._extra_state"] == 14
