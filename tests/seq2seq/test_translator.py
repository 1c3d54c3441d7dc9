"""The translator: what it learns, and how it writes."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from common.decoding import BeamSearch, Greedy, Sampling
from common.decoding.options import DecoderOptions
from common.errors import UserError
from common.models.options import LossOptions
from common.text.vocabulary import UNK, Vocabulary
from seq2seq import Translator
from seq2seq.evaluation import alignment
from seq2seq.model import build_model
from seq2seq.options import EncoderOptions, TextOptions, TrainOptions
from seq2seq.train import train
from tests.searches import MISTAKES
from tests.seq2seq.tiny import SENTENCES, tiny_options, write_pairs
from tests.tolerances import assert_same_sums, same_log_probability


def test_a_run_holds_all_that_its_translations_need(run, tmp_path):
    moved = run.rename(tmp_path / "moved")
    try:
        translator = Translator.from_run(moved, device="cpu")
        lines = (moved / "translations-val.txt").read_text().splitlines()
        assert Image.open(moved / "alignments-val.png").width > 200
        with gzip.open(
            Path(json.loads((moved / "config.json").read_text())["config"]["data"]) / "val.en.gz",
            "rt",
        ) as file:
            assert translator.translate(file.read().splitlines()) == lines
    finally:
        moved.rename(run)


def test_a_sentence_is_translated_the_same_alone_and_in_any_batch(run):
    translator = Translator.from_run(run, device="cpu")
    translator.model.double()
    together = translator.translations(SENTENCES, BeamSearch(beam_size=3, n_best=2))
    for text, best in zip(SENTENCES, together, strict=True):
        (alone,) = translator.translations([text], BeamSearch(beam_size=3, n_best=2))
        assert [each.text for each in alone] == [each.text for each in best]
        for one, other in zip(alone, best, strict=True):
            assert one.log_probability == same_log_probability(
                other.log_probability, terms=len(translator.target.vocabulary) + 21
            )


def test_samples_constraints_and_bounds_are_of_a_call(run):
    translator = Translator.from_run(run, device="cpu")

    def drawn(seed: int) -> list[list[str]]:
        generator = torch.Generator().manual_seed(seed)
        search = Sampling(num_samples=3, max_length=8)
        found = translator.translations(["one two three", "cats"], search, generator=generator)
        return [[each.text for each in best] for best in found]

    assert drawn(0) == drawn(0) != drawn(1)
    assert [len(best) for best in drawn(0)] == [3, 3]

    first = translator.target.vocabulary.encode(["vier"])[0]

    def begins_with_four(tokens, sentences, logits):
        if tokens.shape[1] == 0:
            others = torch.arange(logits.shape[1]) != first
            logits = logits.masked_fill(others, -torch.inf)
        return logits

    search = BeamSearch(beam_size=4, n_best=2, min_length=3, max_length=5, no_repeat_ngram=2)
    found = translator.translations(["one", "two cats"], search, constraints=[begins_with_four])
    for best in found:
        assert len(best) == 2 and all(3 <= len(each.tokens) <= 5 for each in best)
        assert all(each.tokens[0] == "vier" for each in best)
    (text,) = translator.translate(["one"], Greedy(max_length=8), constraints=[begins_with_four])
    assert text.startswith("vier")


@pytest.mark.parametrize(
    ("how", "message"),
    MISTAKES,
    ids=str,
)
def test_how_a_search_is_chosen_is_said(run, how, message):
    with pytest.raises(TypeError, match=message):
        Translator.from_run(run, device="cpu").translate(["one two"], **how)


def test_blank_text_stays_blank_and_long_text_is_translated_in_parts(run):
    translator = Translator.from_run(run, device="cpu")
    texts = ["", "  ", "one two " * 500]  # 1,000 words: three parts
    blank, spaces, long = translator.translate(texts, BeamSearch(min_length=10, max_length=10))
    assert blank == spaces == ""
    assert len(long.split()) == 30


def test_attention_covers_every_token_and_sums_to_one(run):
    translator = Translator.from_run(run, device="cpu")
    weights = translator.attention(["one", "two", "three"], ["drei", "zwei"])
    assert weights is not None
    assert weights.shape == (3, 4)
    assert_same_sums(weights.sum(1), torch.ones(3), terms=2 * 4)


def test_unknown_words_are_written_only_to_be_replaced(run):
    translator = Translator.from_run(run, device="cpu")
    with torch.no_grad():  # a model that always finds the unknown word likeliest
        translator.model.decoder.output.bias[UNK] += 100
    banned = translator.translate(["one zebra"], max_length=3)[0]
    assert "<unk>" not in banned and "zebra" not in banned
    replaced = translator.translate(["zebra"], max_length=3, replace_unknown=True)[0]
    # The source word is unknown too: its own spelling is what a reader can use.
    assert set(replaced.split()) == {"zebra"}


def test_a_model_built_in_code_is_saved_and_read_again(run, data, tmp_path):
    trained = Translator.from_run(run, device="cpu")
    first = trained.translations(SENTENCES)
    trained.save(tmp_path / "saved")
    with pytest.raises(UserError, match=r"built in code: build it again.*model=mine"):
        Translator.from_run(tmp_path / "saved", device="cpu")
    languages = trained.source.vocabulary, trained.target.vocabulary
    mine = build_model(tiny_options(data, run), *languages)
    again = Translator.from_run(tmp_path / "saved", model=mine, device="cpu")
    assert again.search == trained.search and again.translations(SENTENCES) == first


def test_a_translation_is_shown_with_the_attention_it_was_written_with(run):
    translator = Translator.from_run(run, device="cpu")
    together = translator.translations(SENTENCES[:2], keep_attention=True)
    for text, (best,) in zip(SENTENCES, together, strict=False):
        tokens = translator.source.tokenizer.encode(text)
        again = translator.attention(tokens, best.tokens)
        assert best.attention.shape[1] == len(tokens) + 1  # without padding
        torch.testing.assert_close(
            best.attention, again[: len(best.attention)], atol=1e-4, rtol=1e-4
        )
        alone = alignment(translator, text, best)
        assert alone.width > 50
        assert alignment(translator, text, best, "eins zwei").height > alone.height  # a reference


@pytest.mark.parametrize(
    ("text", "attention"),
    [
        (TextOptions(min_count=1), "none"),
        (TextOptions(tokenizer="characters"), "additive"),
        (
            TextOptions(
                tokenizer="subwords", vocabulary_size=40, joint=True, subword_model="unigram",
            ),
            "general",
        ),
    ],
    ids=["words", "characters", "subwords"],
)  # fmt: skip
def test_learns_a_handful_of_pairs_by_heart(tmp_path, text, attention):
    write_pairs(tmp_path / "few", "val", 8, 0)
    for language in ("en", "de"):  # each of them often, so that few validations are needed
        lines = gzip.decompress((tmp_path / f"few/val.{language}.gz").read_bytes())
        (tmp_path / f"few/train.{language}").write_bytes(10 * lines)
    options = tiny_options(tmp_path / "few", tmp_path / "run", text=text, shown_sentences=0)
    options = replace(
        options,
        encoder=replace(options.encoder, share_embeddings=text.joint, encoder_size=32),
        decoder=replace(
            options.decoder, attention=attention, hidden_size=64, inject=("init", "every")
        ),
        search=replace(options.search, max_length=60),
        monitor="exact_match",
        loss=LossOptions(label_smoothing=0.0),
        training=replace(options.training, epochs=20, learning_rate=0.008, batch_size=8),
    )
    assert train(options).metrics["exact_match"] == 1.0


@pytest.mark.parametrize(
    ("cell", "inject", "reverse"),
    [("gru_cho", ("init", "every", "output"), False), ("lstm", ("init",), True)],
    ids=["Cho 2014", "Sutskever 2014"],
)
def test_the_first_translators_learn_a_handful_of_pairs(tmp_path, cell, inject, reverse):
    write_pairs(tmp_path / "data", "train", 12, 3)
    write_pairs(tmp_path / "data", "val", 12, 3)
    options = tiny_options(tmp_path / "data", tmp_path / "run", monitor="exact_match")
    encoder = replace(
        options.encoder, encoder_cell=cell, encoder_size=48, bidirectional=False,
        reverse_source=reverse,
    )  # fmt: skip
    decoder = replace(
        options.decoder, cell=cell, inject=inject, attention="none", hidden_size=48,
        readout="maxout" if cell == "gru_cho" else "tanh",
    )  # fmt: skip
    training = replace(options.training, epochs=60, learning_rate=0.01)
    evaluation = train(replace(options, encoder=encoder, decoder=decoder, training=training))
    assert evaluation.metrics["exact_match"] == 1.0


def test_training_starts_from_pretrained_embeddings(data, tmp_path):
    vectors = {word: [float(n)] * 16 for n, word in enumerate(["One", "two", "zebra"], 1)}
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{w} {' '.join(map(str, v))}\n" for w, v in vectors.items()))
    options = tiny_options(data, tmp_path / "run", shown_sentences=0)
    frozen = replace(options.training, epochs=1, learning_rate=0.0)
    encoder = replace(options.encoder, source_embeddings=path)
    train(replace(options, encoder=encoder, training=frozen))
    path = path.rename(tmp_path / "moved.txt")  # is no longer needed
    longer = replace(frozen, epochs=2)
    train(replace(options, encoder=encoder, training=longer, resume=True))
    translator = Translator.from_run(tmp_path / "run", device="cpu")
    weights = translator.model.encoder.embedding.weight
    one, two = translator.source.vocabulary.encode(["one", "two"])
    assert (weights[one] == 1).all() and (weights[two] == 2).all()  # folded to lower case

    too_wide = replace(options.encoder, source_embeddings=path, source_embedding_size=8)
    with pytest.raises(UserError, match=r"moved\.txt"):
        train(replace(options, encoder=too_wide, overwrite=True))


def test_an_ensemble_of_a_run_with_itself_says_the_same(run):
    alone, twice = (Translator.from_run(*runs, device="cpu") for runs in ((run,), (run, run)))
    for translator in (alone, twice):
        translator.model.double()
    assert alone.translate(SENTENCES) == twice.translate(SENTENCES)


def test_an_ensemble_needs_one_vocabulary(run, data, tmp_path):
    other = tiny_options(data, tmp_path / "other", text=TextOptions(tokenizer="characters"))
    train(replace(other, training=replace(other.training, epochs=1)))
    with pytest.raises(UserError, match="another source_tokenizer.json"):
        Translator.from_run(run, tmp_path / "other", device="cpu")


def test_what_is_asked_for_is_what_is_built_and_one_matrix_for_both_languages():
    options = TrainOptions(
        data="d", run_dir=Path("r"),
        encoder=EncoderOptions(encoder_size=8, source_embedding_size=8, share_embeddings=True),
        decoder=DecoderOptions(
            embedding_size=8, hidden_size=8, tie_embeddings=True, attention="additive"
        ),
        loss=LossOptions(label_smoothing=0.2, coverage=0.5),
    )  # fmt: skip
    words = Vocabulary(["one", "two", "three"])
    model = build_model(options, words, words)
    assert (model.label_smoothing, model.coverage) == (0.2, 0.5)
    assert model.decoder.output.weight is model.decoder.embedding.weight
    assert model.encoder.embedding.weight is model.decoder.embedding.weight
    assert len({id(parameter) for parameter in model.parameters()}) == len(list(model.parameters()))


def test_one_sentence_gives_one_translation_and_several_give_a_list(run, monkeypatch):
    monkeypatch.setenv("HOME", str(run.parent))
    translator = Translator.from_run(f"~/{run.name}", device=torch.device("cpu"))
    one = translator.translate("one two three")
    assert isinstance(one, str) and [one] == translator.translate(["one two three"])
    assert translator.translate(each for each in ("cats", "")) == translator.translate(["cats", ""])
    assert translator.translate("") == "" and translator.translate([]) == []
    best = translator.translations("one two", BeamSearch(beam_size=3, n_best=2))
    several = translator.translations(["one two"], BeamSearch(beam_size=3, n_best=2))
    assert len(best) == 2 and [each.text for each in best] == [each.text for each in several[0]]
    for odd, name in ((5, "int"), ([b"one"], "bytes"), (b"one", "int"), ([None], "NoneType")):
        with pytest.raises(TypeError, match=f"one sentence or several, of str, not of {name}"):
            translator.translate(odd)
    with pytest.raises(TypeError, match="each sentence is a list of tokens"):
        translator.translate_tokens(["one", "two"])


def test_a_translator_says_what_it_is(run):
    shown = repr(Translator.from_run(run, device="cpu"))
    assert shown.startswith("Translator(GRU, hidden size 32, additive attention, ")
    assert "parameters on cpu, a vocabulary of" in shown and shown.count("\n") == 1
    both = repr(Translator.from_run(run, run, device="cpu"))
    assert both.startswith("Translator(ensemble of 2, GRU, hidden size 32")
