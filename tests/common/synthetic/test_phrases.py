"""Phrases: Korean forms as a grammar book has them, sentences as functions of their number."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.synthetic.phrases import SPLITS, available, phrases, translate, write_phrases
from common.synthetic.phrases.korean import (
    Predicate,
    final_consonant,
    join_syllable,
    split_syllable,
    with_particle,
)
from common.synthetic.phrases.lexicon import (
    ADJECTIVES,
    GIVING,
    HELD_OUT_ADJECTIVES,
    HELD_OUT_NUMBERS,
    HELD_OUT_OBJECTS,
    INTRANSITIVE,
    MOTION,
    NOUNS,
    TRANSITIVE,
    Verb,
)
from common.synthetic.phrases.nominals import plural_of
from common.synthetic.phrases.oracle import readings
from common.synthetic.phrases.predications import verb_predications
from common.synthetic.phrases.sampling import Split, quotas, shuffled
from seq2seq.data import Pair, load

# ---- Korean: forms written down by hand

VERBS = {  # dictionary form: present, past, future without 것이다
    "먹다": "먹는다 먹었다 먹을", "마시다": "마신다 마셨다 마실", "사다": "산다 샀다 살",
    "팔다": "판다 팔았다 팔", "읽다": "읽는다 읽었다 읽을", "쓰다": "쓴다 썼다 쓸",
    "고르다": "고른다 골랐다 고를", "그리다": "그린다 그렸다 그릴", "보다": "본다 봤다 볼",
    "만나다": "만난다 만났다 만날", "돕다": "돕는다 도왔다 도울", "기다리다": "기다린다 기다렸다 기다릴",
    "듣다": "듣는다 들었다 들을", "부르다": "부른다 불렀다 부를", "고치다": "고친다 고쳤다 고칠",
    "만들다": "만든다 만들었다 만들", "짓다": "짓는다 지었다 지을", "줍다": "줍는다 주웠다 주울",
    "열다": "연다 열었다 열", "닫다": "닫는다 닫았다 닫을", "주다": "준다 줬다 줄",
    "보여 주다": "보여 준다 보여 줬다 보여 줄", "보내다": "보낸다 보냈다 보낼", "가다": "간다 갔다 갈",
    "오다": "온다 왔다 올", "놀다": "논다 놀았다 놀", "자다": "잔다 잤다 잘",
    "걷다": "걷는다 걸었다 걸을", "달리다": "달린다 달렸다 달릴", "쉬다": "쉰다 쉬었다 쉴",
    "일하다": "일한다 일했다 일할", "공부하다": "공부한다 공부했다 공부할", "웃다": "웃는다 웃었다 웃을",
}  # fmt: skip

OTHER_VERBS = {  # not in the lexicon, but conjugated by other branches of the same rules
    "배우다": "배운다 배웠다 배울", "서다": "선다 섰다 설", "켜다": "켠다 켰다 켤",
    "되다": "된다 됐다 될", "씻다": "씻는다 씻었다 씻을", "입다": "입는다 입었다 입을",
    "굽다": "굽는다 구웠다 구울", "모으다": "모은다 모았다 모을", "앉다": "앉는다 앉았다 앉을",
    "세다": "센다 셌다 셀", "깨닫다": "깨닫는다 깨달았다 깨달을", "살다": "산다 살았다 살",
}  # fmt: skip

ADJECTIVE_FORMS = {  # dictionary form: past, future without 것이다, before a noun
    "크다": "컸다 클 큰", "작다": "작았다 작을 작은", "빨갛다": "빨갰다 빨갈 빨간",
    "검다": "검었다 검을 검은", "하얗다": "하얬다 하얄 하얀", "싸다": "쌌다 쌀 싼",
    "비싸다": "비쌌다 비쌀 비싼", "무겁다": "무거웠다 무거울 무거운", "예쁘다": "예뻤다 예쁠 예쁜",
    "신선하다": "신선했다 신선할 신선한", "맛있다": "맛있었다 맛있을 맛있는",
    "뜨겁다": "뜨거웠다 뜨거울 뜨거운", "차갑다": "차가웠다 차가울 차가운", "춥다": "추웠다 추울 추운",
    "재미있다": "재미있었다 재미있을 재미있는", "길다": "길었다 길 긴",
    "친절하다": "친절했다 친절할 친절한", "유명하다": "유명했다 유명할 유명한",
    "바쁘다": "바빴다 바쁠 바쁜", "조용하다": "조용했다 조용할 조용한",
    "아름답다": "아름다웠다 아름다울 아름다운",
}  # fmt: skip

OTHER_ADJECTIVES = {
    "좋다": "좋았다 좋을 좋은", "파랗다": "파랬다 파랄 파란", "누렇다": "누렜다 누럴 누런",
    "곱다": "고왔다 고울 고운", "아프다": "아팠다 아플 아픈", "좁다": "좁았다 좁을 좁은",
}  # fmt: skip

IRREGULAR = ("깨닫다", "굽다", "파랗다", "누렇다", "곱다")
ALL_VERBS: tuple[Verb, ...] = (*TRANSITIVE, *GIVING, *MOTION, *INTRANSITIVE)


def test_every_verb_of_the_lexicon_is_conjugated_as_by_hand() -> None:
    forms = {
        verb.korean.stem + "다": " ".join(verb.korean.tenses()).removesuffix(" 것이다")
        for verb in ALL_VERBS
    }
    assert forms == VERBS


def test_every_adjective_of_the_lexicon_is_conjugated_as_by_hand() -> None:
    words = [each for each in ADJECTIVES.values() if each.predicate is not None]
    for adjective in words:
        assert adjective.predicate is not None
        word, past, future = adjective.predicate.tenses()
        expected = f"{past} {future.removesuffix(' 것이다')} {adjective.attributive}"
        assert ADJECTIVE_FORMS[word] == expected
    assert len(words) == len(ADJECTIVE_FORMS)


@pytest.mark.parametrize(("word", "forms"), OTHER_VERBS.items())
def test_other_verbs(word: str, forms: str) -> None:
    verb = Predicate(word[:-1], irregular=word in IRREGULAR)
    assert " ".join(verb.tenses()) == forms + " 것이다"


@pytest.mark.parametrize(("word", "forms"), OTHER_ADJECTIVES.items())
def test_other_adjectives(word: str, forms: str) -> None:
    adjective = Predicate(word[:-1], irregular=word in IRREGULAR, adjective=True)
    past, future, attributive = forms.split()
    assert adjective.tenses() == (word, past, future + " 것이다")
    assert adjective.attributive == attributive


def test_negation_differs_between_verbs_and_adjectives() -> None:
    assert Predicate("듣", irregular=True).negated() == (
        "듣지 않는다", "듣지 않았다", "듣지 않을 것이다",
    )  # fmt: skip
    assert Predicate("크", adjective=True).negated() == (
        "크지 않다", "크지 않았다", "크지 않을 것이다",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("particle", "forms"),
    [
        ("topic", "책은 사과는 말은"),
        ("subject", "책이 사과가 말이"),
        ("object", "책을 사과를 말을"),
        ("and", "책과 사과와 말과"),
        ("by", "트럭으로 버스로 지하철로"),  # ㄹ counts as a vowel here, and only here
    ],
)
def test_particles_follow_the_last_sound(particle: str, forms: str) -> None:
    nouns = ("트럭", "버스", "지하철") if particle == "by" else ("책", "사과", "말")
    assert " ".join(with_particle(noun, particle) for noun in nouns) == forms


def test_syllables_come_apart_and_together() -> None:
    for code in range(0xAC00, 0xD7A4):
        assert join_syllable(*split_syllable(chr(code))) == chr(code)
    assert [final_consonant(word) for word in ("개", "말", "책", "닭", "집")] == list(" ㄹㄱㄺㅂ")
    for wrong in ("a", "ㄱ", "가나", ""):
        with pytest.raises(ValueError, match="not one Korean syllable"):
            split_syllable(wrong)


# ---- sentences


SENTENCES = {
    "Minsu ate two apples at school today.": "민수는 오늘 학교에서 사과 두 개를 먹었다.",
    "The boy drew three dogs.": "소년은 개 세 마리를 그렸다.",
    "I bought a book.": "나는 책을 샀다.",
    "I bought the book.": "나는 책을 샀다.",
    "I bought books.": "나는 책을 샀다.",
    "I bought one book.": "나는 책 한 권을 샀다.",
    "She drinks a cup of hot coffee every morning.": "그녀는 매일 아침 뜨거운 커피 한 잔을 마신다.",
    "Jimin does not read novels these days.": "지민은 요즘 소설을 읽지 않는다.",
    "They will not help me tomorrow.": "그들은 내일 나를 돕지 않을 것이다.",
    "They read books yesterday.": "그들은 어제 책을 읽었다.",
    "They read books every day.": "그들은 매일 책을 읽는다.",
    "Five students helped the singer.": "학생 다섯 명이 가수를 도왔다.",
    "The students listened to an old song.": "학생들은 오래된 노래를 들었다.",
    "Sujin and Yuna will go to school by truck.": "수진과 유나는 트럭으로 학교에 갈 것이다.",
    "Yuna and Sujin came to the market by subway.": "유나와 수진은 지하철로 시장에 왔다.",
    "Minsu and I played in the park with her.": "민수와 나는 그녀와 함께 공원에서 놀았다.",
    "My friend gave ten red flowers to the girl.": "내 친구는 소녀에게 빨간 꽃 열 송이를 줬다.",
    "There are three cats in the garden.": "정원에 고양이 세 마리가 있다.",
    "There was a book in the room yesterday.": "어제 방에 책이 있었다.",
    "There will be no chairs in the kitchen.": "부엌에 의자가 없을 것이다.",
    "Minsu's new bicycle is not expensive.": "민수의 새 자전거는 비싸지 않다.",
    "My old bicycle was very heavy.": None,  # not a property of bicycles here
    "The bag will be very heavy.": "가방은 아주 무거울 것이다.",
    "I am busy on weekends.": "나는 주말에 바쁘다.",
    "The room was cold last night.": "방은 어젯밤에 추웠다.",
    "He drinks cold water.": "그는 차가운 물을 마신다.",
    "The farmer ate.": None,
    "They read books.": None,  # today or yesterday? Two translations would be right
    "Minsu met Minsu.": None,
    "Minsu ate two apples tomorrow.": None,
    "She ate two apple.": None,
}


@pytest.mark.parametrize(("english", "korean"), SENTENCES.items())
def test_sentences_are_translated_as_by_hand(english: str, korean: str | None) -> None:
    assert translate(english) == korean


@cache
def drawn(split: Split, count: int) -> tuple[Pair, ...]:
    return tuple(phrases(count, split, seed=3))


def test_every_sentence_has_one_reading_and_that_is_its_translation() -> None:
    for split in SPLITS:
        for pair in drawn(split, 2000)[:30]:
            assert list(readings(pair.source)) == [pair.target]
            assert translate(pair.source.removesuffix(".")) == pair.target


def test_all_sentences_of_all_splits_are_different() -> None:
    counts: dict[Split, int] = {"train": 20_000, "val": 20_000, "val_held_out": 5000}
    sentences = [pair.source for split in SPLITS for pair in drawn(split, counts[split])]
    assert len(set(sentences)) == len(sentences) == sum(counts.values())


def test_there_are_millions() -> None:
    assert available("train") > 20_000_000
    assert available("val") > 1_000_000
    assert available("val_held_out") > 1_000_000
    for wrong in (-1, available("val") + 1):
        with pytest.raises(ValueError, match="sentences for val"):
            phrases(wrong, "val")
    with pytest.raises(ValueError, match="'test' is none of train, val"):
        phrases(1, "test")  # type: ignore[arg-type]


def test_sentences_look_like_sentences() -> None:
    for split in SPLITS:
        for source, target in drawn(split, 2000):
            assert re.fullmatch(r"[A-Z][a-zA-Z']*( [a-zA-Z]+)+\.", source.replace("'s", "")), source
            assert re.fullmatch(r"[가-힣]+( [가-힣]+)+\.", target), target


def test_most_sentences_are_of_four_to_nine_words() -> None:
    lengths = [len(pair.source.split()) for pair in drawn("train", 20_000)]
    assert sum(4 <= length <= 9 for length in lengths) > 0.75 * len(lengths)
    assert max(lengths) < 20


# ---- combinations that training never shows


def forms(verb: Verb) -> str:
    """A pattern for all forms of an English verb."""
    slots = (verb_predications(verb, negative=negative) for negative in (False, True))
    choices = [does for slot in slots for _, each in slot for does in each]
    return "|".join(sorted({form for does in choices for form in does.english}))


def held_out_patterns() -> list[re.Pattern[str]]:
    patterns = []
    verbs = {verb.english: verb for verb in ALL_VERBS}
    noun_of = {name: f"(?:{name}|{plural_of(noun)})\\b" for name, noun in NOUNS.items()}
    for verb, noun in sorted(HELD_OUT_OBJECTS):
        patterns.append(rf"(?:{forms(verbs[verb])}) (?:(?!to |with )\w+ ){{0,5}}?{noun_of[noun]}")
    for number, noun in sorted(HELD_OUT_NUMBERS):
        patterns.append(rf"\b{number} (?:\w+ of )?(?:\w+ )?{noun_of[noun]}")
    for adjective, noun in sorted(HELD_OUT_ADJECTIVES):
        patterns.append(rf"\b{adjective} {noun_of[noun]}")
        be = "(?:is|are|was|were|will be|will not be)"
        patterns.append(rf"\b{noun_of[noun]} {be} (?:not )?(?:very )?{adjective}\b")
    return [re.compile(pattern, re.IGNORECASE) for pattern in patterns]


def test_held_out_combinations_are_only_in_the_split_named_after_them() -> None:
    patterns = held_out_patterns()
    anything = re.compile("|".join(pattern.pattern for pattern in patterns), re.IGNORECASE)
    for split in ("train", "val"):
        for pair in drawn(split, 20_000)[:6000]:
            assert anything.search(pair.source) is None, pair.source
    found = Counter[str]()
    for pair in drawn("val_held_out", 5000)[:2000]:
        hits = [pattern.pattern for pattern in patterns if pattern.search(pair.source)]
        assert hits, pair.source
        found.update(hits)
    # Of the qualities, as in "the doctor is kind", the other half of each pattern is never used.
    assert len(found) >= len(patterns) - len(HELD_OUT_ADJECTIVES)


def test_every_word_of_the_evaluation_splits_is_seen_in_training() -> None:
    """In a training split of the demo's size, and more than once: rare words become unknown."""
    train = drawn("train", 20_000)
    for side in (0, 1):
        seen = Counter(itertools.chain.from_iterable(pair[side][:-1].split() for pair in train))
        common = {word for word, count in seen.items() if count >= 3}
        for split in ("val", "val_held_out"):
            words = {word for pair in drawn(split, 5000) for word in pair[side][:-1].split()}
            assert words <= common, words - common


# ---- drawing


def test_a_permutation_of_every_size() -> None:
    sizes = np.concatenate([np.full(size, size) for size in range(1, 80)])
    index = np.concatenate([np.arange(size) for size in range(1, 80)])
    for key in (0, 7):
        keys = np.full(len(sizes), key, np.uint64)
        to = shuffled(index, sizes, keys)
        for size in range(1, 80):
            assert sorted(to[sizes == size]) == list(range(size))
    big = np.full(100_000, 100_000)
    first, other = (
        shuffled(np.arange(100_000), big, np.full(100_000, key, np.uint64)) for key in (1, 2)
    )
    assert len(set(first.tolist())) == 100_000
    assert abs(np.corrcoef(first, np.arange(100_000))[0, 1]) < 0.02
    assert (first == other).mean() < 0.001


@pytest.mark.parametrize("count", [0, 1, 10, 999, 1040])
def test_quotas_keep_to_weights_and_capacities(count: int) -> None:
    weights = np.array([1.0, 2.0, 0.5, 4.0, 0.01, 2.49])
    capacities = np.array([500, 20, 0, 400, 100, 20])
    numbers = quotas(count, weights, capacities, np.random.default_rng(0))
    assert numbers.sum() == count
    assert (numbers >= 0).all() and (numbers <= capacities).all()
    if count == 999:  # two blocks give all that they have, the others by weight
        assert numbers.tolist()[1:4] == [20, 0, 400] and numbers[5] == 20


def test_small_shares_add_up() -> None:
    weights = np.ones(3000)
    numbers = quotas(100, weights, np.full(3000, 9), np.random.default_rng(0))
    assert numbers.sum() == 100 and numbers.max() == 1


def test_a_function_of_the_seed_in_any_process() -> None:
    code = (
        "from common.synthetic.phrases import phrases\n"
        "for split in ('train', 'val', 'val_held_out'):\n"
        "    for pair in phrases(50, split, seed=4): print(*pair, sep='|')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONIOENCODING": "utf-8"}
    output = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True,
        cwd=Path(__file__).parents[3],
    ).stdout.decode()  # fmt: skip
    expected = [pair for split in SPLITS for pair in phrases(50, split, seed=4)]
    assert output.splitlines() == ["|".join(pair) for pair in expected]
    assert list(phrases(50, seed=5)) != list(phrases(50, seed=4))


# ---- a data set on disk


def test_a_data_set_is_written_and_recognised(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "phrases"
    write_phrases(folder, train=300, val=40, held_out=30, seed=2)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["phrases"]
    data = load(folder)
    assert (data.format, data.source_language, data.target_language) == ("phrases", "en", "ko")
    assert list(data.splits) == ["train", "val", "val_held_out"] and not data.problems
    counts: dict[Split, int] = {"train": 300, "val": 40, "val_held_out": 30}
    for split, count in counts.items():
        assert list(data.split(split)) == list(phrases(count, split, seed=2))


def test_a_data_set_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "phrases"
    write_phrases(folder, train=30, val=4, held_out=3)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_phrases(folder, train=30, val=4, held_out=3)  # the same: nothing to do
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with pytest.raises(UserError, match="made with other settings"):
        write_phrases(folder, train=30, val=4, held_out=3, seed=1)
    text = (folder / "train.ko").read_text(encoding="utf-8")
    (folder / "train.ko").write_text(text.replace("다.", "까.", 1), encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        write_phrases(folder, train=30, val=4, held_out=3)
    (folder / "val.en").unlink()
    with pytest.raises(UserError, match="damaged"):
        write_phrases(folder, train=30, val=4, held_out=3)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    with pytest.raises(UserError, match="holds other files"):
        write_phrases(tmp_path / "other", train=30)


def test_too_many_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sentences for val"):
        write_phrases(tmp_path / "phrases", val=available("val") + 1)
    assert not list(tmp_path.iterdir())
