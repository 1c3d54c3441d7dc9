"""What is asked of the loss of sentences is what is built, and what does not go together is refused."""

from __future__ import annotations

import pytest
from torch import nn

from common.decoding.options import DecoderOptions
from common.errors import UserError
from common.models.options import LossOptions, TextOptions
from common.text.vocabulary import SPECIALS


@pytest.mark.parametrize("kind", ["linear", "exponential", "inverse_sigmoid"])
def test_a_falling_teacher_forcing_ratio_is_one_half_after_the_steps_asked_for(kind):
    options = LossOptions(
        teacher_forcing=kind, teacher_forcing_ratio=0.1, teacher_forcing_steps=3000
    )
    sampling = options.make_scheduled_sampling()
    assert sampling is not None
    assert sampling.ratio(3000) == pytest.approx(0.5, abs=1e-3)
    assert sampling.ratio(0) > 0.99 and sampling.ratio(10**9) == 0.1


def test_teacher_forcing_always_or_at_a_constant_ratio():
    assert LossOptions().make_scheduled_sampling() is None
    sampling = LossOptions(teacher_forcing_ratio=0.3).make_scheduled_sampling()
    assert sampling is not None and sampling.ratio(10**6) == 0.3
    with pytest.raises(UserError, match="probability"):
        LossOptions(teacher_forcing_ratio=1.5).make_scheduled_sampling()


def test_what_is_asked_of_the_loss_reaches_the_model():
    decoder = DecoderOptions(embedding_size=8, hidden_size=8, attention="additive").build(10, 4, 4)
    options = LossOptions(
        label_smoothing=0.2, coverage=0.5, teacher_forcing="linear", teacher_forcing_ratio=0.25,
        teacher_forcing_steps=100, teacher_forcing_per="sentence",
    )  # fmt: skip
    model = options.make_model(nn.Identity(), decoder)
    assert (model.label_smoothing, model.coverage) == (0.2, 0.5)
    sampling = model.scheduled_sampling
    assert sampling is not None and sampling.per == "sentence"
    assert [sampling.ratio(step) for step in (0, 100, 10**6)] == [1.0, 0.5, 0.25]
    assert LossOptions().make_model(nn.Identity(), decoder).scheduled_sampling is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverage": 1.0}, "--coverage regularises attention"),
        ({"teacher_forcing": "linear"}, "choose one below 1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    decoder = DecoderOptions(attention="none")
    LossOptions().check(decoder)
    with pytest.raises(UserError, match=message):
        LossOptions(**options).check(decoder)


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        (TextOptions(), {"the", "dog"}),
        (TextOptions(min_count=1, vocabulary_size=len(SPECIALS) + 1), {"dog"}),
        (TextOptions(lowercase=False), {"dog"}),
        (TextOptions(tokenizer="characters"), {*"theadogruns. "}),
        (TextOptions(tokenizer="whitespace"), {"dog"}),
        (TextOptions(tokenizer="whitespace", min_count=1), {"The", "the", "a", "dog", "runs."}),
    ],
)
def test_the_tokens_of_a_text_are_those_asked_for(options, tokens):
    asked = []

    def texts(task):
        asked.append(task)
        return iter(["The dog", "the dog", "a dog runs."])

    language = options.learn(texts)
    assert set(language.vocabulary.tokens[len(SPECIALS) :]) == tokens
    assert asked == ["vocabulary"]


def test_subwords_are_learnt_from_the_text_they_are_counted_in():
    asked = []
    options = TextOptions(tokenizer="subwords", vocabulary_size=40)
    language = options.learn(
        lambda task: asked.append(task) or iter(["一个男人在跑", "一个人"] * 9)
    )
    assert asked == ["subwords", "vocabulary"]
    assert language.decode(language.encode("男人在跑")) == "男人在跑"
    assert TextOptions(tokenizer="subwords").learn(lambda task: ["a dog runs"] * 9)


def test_punctuation_is_among_the_words_where_it_is_asked_for():
    kept, dropped = (
        TextOptions(min_count=1).learn(lambda task: ["a dog."], punctuation=punctuation).vocabulary
        for punctuation in (True, False)
    )
    assert set(kept) - set(dropped) == {"."}
