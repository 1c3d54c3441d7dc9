"""Translation metrics: worked by hand, against sacreBLEU's own command, and at their edges."""

from __future__ import annotations

import gzip
import subprocess
import sys
import unicodedata
from math import exp
from pathlib import Path

import pytest
import sacrebleu
from hypothesis import given, settings, strategies as st

from common.errors import UserError
from common.evaluation.translation import (
    comparable,
    score_each_translation,
    score_translations,
    tokenization_for,
)

SENTENCE = "a man is walking his dog ."


def test_bleu_by_hand() -> None:
    scores = score_translations(
        ["the cat sat on the mat", "a dog runs fast now"],
        ["the cat sat on a mat today", "the dog runs fast now too"],
    )
    # The second "the" has no partner; 11 words against 13.
    words, pairs, triples, quadruples = (5 + 4) / 11, (3 + 3) / 9, (2 + 2) / 7, (1 + 1) / 5
    penalty = exp(1 - 13 / 11)
    product = words * pairs * triples * quadruples
    assert scores.metrics["bleu"] == pytest.approx(100 * penalty * product ** (1 / 4))
    assert scores.metrics["brevity_penalty"] == pytest.approx(penalty)


def test_chrf_by_hand() -> None:
    # Characters a, b of a, b, d and of a, b, c, a; the pair ab; no triple. The hypothesis has no longer
    # n-grams, so that three orders count. Spaces are no characters.
    scores = score_translations(["a bd"], ["ab ca"])
    precision, recall = (2 / 3 + 1 / 2 + 0 / 1) / 3, (2 / 4 + 1 / 3 + 0 / 2) / 3
    assert scores.metrics["chrf"] == pytest.approx(
        100 * 5 * precision * recall / (4 * precision + recall)
    )


def test_counts_are_summed_before_they_are_divided() -> None:
    right, wrong = "one two three four five", "six seven eight nine ten"
    scores = score_translations([right, right], [right, wrong])
    assert scores.metrics["bleu"] == pytest.approx(50)  # each order: half of its n-grams
    assert scores.metrics["exact_match"] == 0.5


def test_scores_of_each_are_sacrebleus_of_sentences() -> None:
    """Of as many n-grams as a sentence has; any number of references; in composed Unicode."""
    written = ["The cafe\u0301", "a dog runs", ""]
    references = [["the caf\u00e9"], ["a dog ran", "a dog runs fast"], ["x"]]
    each, signature = score_each_translation(written, references, lowercase=True)
    assert [scores["chrf"] for scores in each] == [
        sacrebleu.sentence_chrf(text.lower(), [other.lower() for other in others]).score
        for text, others in zip(["the caf\u00e9", *written[1:]], references, strict=True)
    ]
    assert each[0]["bleu"] == pytest.approx(100) and each[2] == {"bleu": 0.0, "chrf": 0.0}
    assert each[1]["bleu"] == sacrebleu.sentence_bleu("a dog runs", references[1]).score
    assert "case:lc|eff:yes|tok:13a" in signature
    with pytest.raises(ValueError, match="2 hypotheses, but references of 1"):
        score_each_translation(["a", "b"], ["a"])


def test_the_signatures_name_all_that_the_scores_depend_on() -> None:
    plain = score_translations([SENTENCE], [SENTENCE])
    version = sacrebleu.__version__
    assert plain.signatures == {
        "bleu": f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}",
        "chrf": f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version}",
    }
    other = score_translations([SENTENCE], [[SENTENCE] * 2], lowercase=True, tokenize="intl")
    assert other.signatures["bleu"].startswith("nrefs:2|case:lc|eff:no|tok:intl|")
    assert other.signatures["chrf"].startswith("nrefs:2|case:lc|")
    uneven = score_translations([SENTENCE] * 2, [[SENTENCE] * 2, [SENTENCE]])
    assert uneven.signatures["bleu"].startswith("nrefs:var|")
    assert list(plain.metrics) == ["bleu", "chrf", "exact_match", "brevity_penalty"]
    assert list(plain.metrics.values()) == pytest.approx([100, 100, 1, 1])


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("tokenize", ["13a", "intl", "zh", "char", "none"])
def test_the_figures_are_those_of_the_sacrebleu_command(
    tmp_path: Path, lowercase: bool, tokenize: str
) -> None:
    hypotheses = [
        "Ein Hund rennt, bellt.",
        "",
        "  zwei Männer (alt)  ",
        "“Ja”, sagt er",
        "개가 뛴다.",
    ]
    references = [
        "ein Hund rennt und bellt.",
        "Leer",
        "Zwei Männer (alt)",
        "„Ja“, sagt er",
        "개는 뛴다.",
    ]
    (tmp_path / "reference").write_text("\n".join(references) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", tmp_path / "reference"]
    command += ["--metrics", "bleu", "chrf"]
    command += ["--tokenize", tokenize, "--score-only", "--width", "9", "--format", "text"]
    command += ["--lowercase", "--chrf-lowercase"] if lowercase else []
    text = "\n".join(hypotheses) + "\n"
    run = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=True)
    scores = score_translations(hypotheses, references, lowercase=lowercase, tokenize=tokenize)  # type: ignore
    assert [scores.metrics["bleu"], scores.metrics["chrf"]] == pytest.approx(
        [float(x) for x in run.stdout.split()]
    )


def test_several_references_of_different_number() -> None:
    references = [["a man walks his dog .", SENTENCE], ["the sun shines brightly"]]
    scores = score_translations([SENTENCE, "the sun shines brightly"], references)
    assert list(scores.metrics.values()) == pytest.approx([100, 100, 1, 1])


def test_exact_match_forgives_spaces_and_typing_alone() -> None:
    korean = "개가 뛴다"
    pairs = [
        (f"  {korean}\t", korean),
        (unicodedata.normalize("NFD", korean), korean),
        ("a\u00a0b  c", "a b c"),
        ("A", "a"),
        ("a.", "a"),
        ("", " \n"),
        ("", "a"),
    ]
    found = [score_translations([h], [r], lowercase=True).metrics["exact_match"] for h, r in pairs]
    assert found == [1, 1, 1, 0, 0, 1, 0]


def test_composed_and_decomposed_text_score_alike() -> None:
    korean = "나는 어제 큰 사과 세 개를 먹었다"
    scores = score_translations([korean], [unicodedata.normalize("NFD", korean)])
    assert list(scores.metrics.values()) == pytest.approx([100, 100, 1, 1])


def test_empty_hypotheses_and_references() -> None:
    empty = score_translations(["", " "], [SENTENCE, SENTENCE])
    assert list(empty.metrics.values()) == [0, 0, 0, 0]
    blank = score_translations(["", ""], ["", "\t"])
    assert (blank.metrics["bleu"], blank.metrics["chrf"], blank.metrics["exact_match"]) == (0, 0, 1)
    # A pair of blank lines changes neither BLEU nor chrF of the others.
    some = score_translations([SENTENCE, "a dog ran away"], [SENTENCE, "a dog ran home"])
    more = score_translations([SENTENCE, "a dog ran away", ""], [SENTENCE, "a dog ran home", ""])
    assert (more.metrics["bleu"], more.metrics["chrf"]) == (
        some.metrics["bleu"],
        some.metrics["chrf"],
    )
    assert more.metrics["exact_match"] == pytest.approx(2 / 3)
    # Words where there should be none lower the precision.
    assert score_translations([SENTENCE] * 2, [SENTENCE, ""]).metrics["bleu"] < 60


@pytest.mark.parametrize(
    "hypotheses, references, message",
    [
        ([], [], "no translations"),
        (["a"], ["a", "b"], "1 hypotheses, but references of 2"),
        (["a", "b"], [["a"], []], "hypothesis 1 has no references"),
        ("a", ["a"], "not one text"),
        (["a"], "a", "not one text"),
    ],
)
def test_what_cannot_be_scored(hypotheses, references, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_translations(hypotheses, references)


def test_a_tokenization_that_would_download_is_unknown() -> None:
    with pytest.raises(ValueError, match="flores200"):
        score_translations(["a"], ["a"], tokenize="flores200")  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["ja", "ko"])
def test_a_missing_library_is_named(language: str) -> None:
    try:
        scores = score_translations(["a b c d"], ["a b c d"], tokenize=f"{language}-mecab")  # type: ignore
    except UserError as error:
        assert f"sacrebleu[{language}]" in str(error) and "\n" not in str(error)
    else:
        assert f"tok:{language}-mecab" in scores.signatures["bleu"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=4))
def test_any_text_has_scores_in_their_range(pairs: list[tuple[str, str]]) -> None:
    scores = score_translations(*map(list, zip(*pairs, strict=True)))
    assert 0 <= scores.metrics["bleu"] <= 100.001 and 0 <= scores.metrics["chrf"] <= 100.001
    assert 0 <= scores.metrics["exact_match"] <= 1 and 0 <= scores.metrics["brevity_penalty"] <= 1


def test_real_references_of_one_language_are_no_perfect_translations(shared: Path) -> None:
    """Real text: a shifted corpus is bad, itself is perfect, and lower-casing only helps."""
    path = next((shared / "multi30k").rglob("*2016*flickr*.en*"), None)
    if path is None:
        pytest.skip("no test split here")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = data.decode().splitlines()
    assert score_translations(lines, lines).metrics["bleu"] == pytest.approx(100)
    shifted = score_translations(lines[1:] + lines[:1], lines)
    lowered = score_translations(lines[1:] + lines[:1], lines, lowercase=True)
    assert (
        shifted.metrics["bleu"] < lowered.metrics["bleu"] < 5
        and shifted.metrics["exact_match"] < 0.01
    )


def test_bleu_finds_words_by_the_language_or_by_its_script() -> None:
    chinese, english = ["我喜欢小狗。"], ["i like dogs."]
    assert tokenization_for("zh-CN", english) == "zh"  # its code is known
    assert tokenization_for("ja_JP") == "char"
    for unknown in (None, "2", "target", "de"):
        assert tokenization_for(unknown, chinese) == "char"
        assert tokenization_for(unknown, english) == tokenization_for(unknown) == "13a"
        assert tokenization_for(unknown, ["i like dogs ."], tokens=True) == "none"
    near, other = (
        score_translations(["我喜欢小猫。"], chinese, tokenize=tokenize).metrics["bleu"]
        for tokenize in ("char", "13a")
    )
    assert near > 50 and other == 0


def test_exact_match_compares_all_but_the_width_of_blanks() -> None:
    assert comparable("e\u0301 \u3000 b ") == comparable("\u00e9 b") != comparable("\u00e9b")
    assert comparable("AT&T", lowercase=True) == ["at&t"]
    scores = score_translations(["hello, sir.", "hello , sir ."], ["hello , sir ."] * 2)
    assert scores.metrics["exact_match"] == 0.5
