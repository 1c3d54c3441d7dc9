"""The score of given translations: what a search gives the same tokens, alone and in any batch."""

from __future__ import annotations

import pytest

from common.decoding import BeamSearch, Greedy, Sampling
from common.errors import UserError
from common.models.ensemble import EnsembleModel
from seq2seq import Translator
from tests.commands import run_here
from tests.seq2seq.tiny import SENTENCES, WORDS
from tests.tolerances import same_log_probability

TEXTS = [text for text in SENTENCES if text.strip()]
TERMS = 4 + len(WORDS) + 21


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize(
    "search", [BeamSearch(beam_size=4, n_best=3), Greedy(), Sampling(num_samples=2)], ids=repr
)
def test_the_score_of_what_a_search_wrote_is_its_own(run, search, ensemble):
    translator = Translator.from_run(run, *[run] * ensemble, device="cpu")
    assert isinstance(translator.model, EnsembleModel) == ensemble
    translator.model.double()
    found = translator.translations(TEXTS, search, max_length=60)
    flat = [(text, each) for text, best in zip(TEXTS, found, strict=True) for each in best]
    scores = translator.score([text for text, _ in flat], [each.text for _, each in flat])
    for (_, written), score in zip(flat, scores, strict=True):
        assert score.tokens == written.tokens
        assert len(score.log_probabilities) == len(written.tokens) + 1  # and the end token
        if len(written.tokens) < 60:  # it ended by itself
            same = same_log_probability(written.log_probability, terms=TERMS)
            assert score.log_probability == same


def test_a_pair_scores_the_same_alone_and_in_any_batch(run):
    translator = Translator.from_run(run, device="cpu")
    translator.model.double()
    sources = ["one two three", "cats", "", "four four one two cats three", "zebra"]
    targets = ["drei zwei", "katzen", "eins", "", "zebra eins"]
    together = translator.score(sources, targets, batch_size=3)
    for source, target, score in zip(sources, targets, together, strict=True):
        (alone,) = translator.score([source], [target])
        assert alone.tokens == score.tokens == [
            token if token in WORDS.values() else "<unk>" for token in target.split()
        ]  # fmt: skip
        same = same_log_probability(score.log_probability, terms=TERMS)
        assert alone.log_probability == same and score.log_probability < 0
    assert translator.score([], []) == []


def test_the_probabilities_of_all_that_may_follow_add_up_to_one(run):
    import math

    translator = Translator.from_run(run, device="cpu")
    words = translator.target.vocabulary.tokens[4:]
    firsts = [
        translator.score(["one two"], [word])[0].log_probabilities[0] for word in (*words, "zebra")
    ]
    (nothing,) = translator.score(["one two"], [""])
    # Padding and the start token are all that is left.
    assert 0.9 < sum(map(math.exp, [*firsts, *nothing.log_probabilities])) <= 1 + 1e-5


def test_what_cannot_be_scored_is_refused(run):
    translator = Translator.from_run(run, device="cpu")
    with pytest.raises(ValueError, match="1 texts to be scored for 2 sources"):
        translator.score(["one", "two"], ["eins"])
    with pytest.raises(TypeError, match="not one string"):
        translator.score(["one"], "eins")
    for pair in (["one", "eins " * 5001], ["one " * 5001, "eins"]):
        with pytest.raises(UserError, match=r"text 2 or its source has 5,001 tokens"):
            translator.score(["one", pair[0]], ["eins", pair[1]])


def test_at_the_command_line_each_pair_has_a_line(run, tmp_path):
    sources, targets = ["one two", "", "cats zebra"], ["zwei eins", "", "zebra katzen katzen"]
    (tmp_path / "source").write_text("".join(f"{text}\n" for text in sources))
    (tmp_path / "target").write_text("".join(f"{text}\n" for text in targets))
    done = run_here("seq2seq", "logprob", run, tmp_path / "source", tmp_path / "target")
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    scores = Translator.from_run(run, device="cpu").score(sources, targets)
    assert [float(first) for first, _ in lines] == pytest.approx(
        [score.log_probability for score in scores], abs=1e-3
    )
    assert [count for _, count in lines] == ["2", "0", "3"]
    assert "3 sentences, 5 tokens: log-probability -" in done.stderr
    assert "1 tokens are not in the vocabulary" in done.stderr

    (tmp_path / "short").write_text("eins\n")
    done = run_here("seq2seq", "logprob", run, tmp_path / "source", tmp_path / "short")
    assert done.returncode == 1 and "differ in their number of lines" in done.stderr
    done = run_here("seq2seq", "logprob", run, tmp_path / "source")
    assert done.returncode == 2 and "missing: TRANSLATIONS" in done.stderr
