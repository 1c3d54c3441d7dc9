"""The loss of tokens against torch's own; it is computed in float32, whatever it is given."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from common.models.tokens import perplexity, token_figures, token_loss
from tests.tolerances import assert_same_sums

PAD = 0
TERMS = 7 + 9 * 5  # of the longest sums: over a vocabulary, then over the words of a batch


def example(
    rows: int = 3, steps: int = 5, vocabulary: int = 7
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.randn(rows, steps, vocabulary, dtype=torch.double, requires_grad=True)
    targets = torch.randint(1, vocabulary, (rows, steps))
    targets[0, 3:] = PAD
    targets[2, 1:] = PAD
    return logits, targets


def test_equals_torch_with_and_without_smoothing():
    logits, targets = example()
    for smoothing in (0.0, 0.1, 1.0):
        loss = token_loss(logits, targets, label_smoothing=smoothing, pad=PAD)
        expected = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=smoothing
        )
        assert_same_sums(loss.value.item(), expected.item(), terms=TERMS)


def test_nll_has_no_smoothing_and_no_graph():
    logits, targets = example()
    plain = token_loss(logits, targets, pad=PAD)
    smooth = token_loss(logits, targets, label_smoothing=0.3, pad=PAD)
    assert torch.equal(plain.sums["nll"], smooth.sums["nll"])
    assert not smooth.sums["nll"].requires_grad and smooth.value.requires_grad
    assert_same_sums(plain.sums["nll"], plain.value.detach() * plain.count, terms=TERMS)


def test_padding_has_exactly_zero_gradient_and_no_count():
    logits, targets = example()
    loss = token_loss(logits, targets, label_smoothing=0.1, pad=PAD)
    loss.value.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[targets == PAD], torch.zeros(6, 7, dtype=torch.double))
    assert (logits.grad[targets != PAD].abs().sum(-1) > 0).all()
    assert int(loss.count) == 9


def test_class_zero_is_real_unless_it_is_named_as_padding():
    loss = token_loss(torch.zeros(4, 3), torch.tensor([0, 0, 1, 2]))
    assert int(loss.count) == 4
    assert_same_sums(loss.value.item(), math.log(3), terms=TERMS)


def test_correct_counts_what_is_likeliest():
    logits = torch.tensor([[5.0, 0, 0], [0, 5, 0], [0, 0, 5], [5, 0, 0]])
    loss = token_loss(logits, torch.tensor([0, 1, 0, 2]))
    assert int(loss.sums["correct"]) == 2


def test_nothing_but_padding_is_zero_not_nan():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    loss = token_loss(logits, torch.zeros(2, 3, dtype=torch.long), pad=PAD)
    loss.value.backward()
    assert loss.value.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros(2, 3, 5))


def test_bfloat16_logits_are_summed_in_float32():
    logits = torch.randn(1000, 50).bfloat16()
    targets = torch.randint(50, (1000,))
    loss = token_loss(logits, targets)
    assert loss.value.dtype == torch.float32
    expected = F.cross_entropy(logits.float(), targets)
    assert_same_sums(loss.value, expected, terms=50 + 1000)  # bfloat16 would err by 1e-2


def test_a_sum_is_the_loss_of_both_batches_as_one():
    logits, targets = example(rows=6)
    whole = token_loss(logits, targets, pad=PAD)
    parts = token_loss(logits[:2], targets[:2], pad=PAD) + token_loss(
        logits[2:], targets[2:], pad=PAD
    )
    assert whole.count == parts.count and whole.sums["correct"] == parts.sums["correct"]
    assert_same_sums(whole.value, parts.value, terms=TERMS)
    assert_same_sums(whole.sums["nll"], parts.sums["nll"], terms=TERMS)
    gradients = [torch.autograd.grad(loss.value, logits)[0] for loss in (whole, parts)]
    assert_same_sums(*gradients, terms=TERMS, dtype=torch.float32)


def test_gradients_equal_those_of_torch_however_many_rows_are_worked_on_together(monkeypatch):
    logits, targets = example(rows=9)
    for chunk in (1, 20, 10**6):
        monkeypatch.setattr("common.models.tokens.CPU_CHUNK", chunk)
        for smoothing in (0.0, 0.2):
            loss = token_loss(logits, targets, label_smoothing=smoothing, pad=PAD)
            expected = F.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=smoothing
            )
            for factor in (1.0, 3.0):
                ours, theirs = (
                    torch.autograd.grad(factor * value, logits, retain_graph=True)
                    for value in (loss.value, expected)
                )
                assert_same_sums(ours, theirs, terms=TERMS, dtype=torch.float32)


def test_no_score_is_too_large_or_impossible():
    logits = torch.tensor([[1e4, 0.0, -torch.inf], [0.0, -1e4, -torch.inf]], requires_grad=True)
    loss = token_loss(logits, torch.tensor([0, 0]))
    loss.value.backward()
    assert loss.value.item() == 0
    assert not logits.grad.any()


def test_figures_are_means_over_all_tokens():
    figures = token_figures({"nll": math.log(7) * 5, "correct": 2}, 5)
    assert figures == {"perplexity": pytest.approx(7), "token_accuracy": 0.4}
    assert token_figures({"nll": 0.0, "correct": 0}, 0) == {"perplexity": 1, "token_accuracy": 0}


def test_perplexity_beyond_a_float_is_infinite():
    assert perplexity(math.log(7) * 5, 5) == pytest.approx(7)
    assert perplexity(1e6, 1) == math.inf
