"""The training text as ids: no subword is unknown, and words are counted where they are targets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import UserError
from common.text.vocabulary import EOS, UNK
from seq2seq.data import ParallelData, load
from seq2seq.options import TextOptions
from seq2seq.prepare import FILES, Prepared, prepare

ENGLISH = ["the wheelchair is here", "a wheel and a chair", "chairs and wheels"] * 3
GERMAN = ["der rollstuhl ist da", "ein rad und ein stuhl", "stühle und räder"] * 3


@pytest.fixture
def data(tmp_path: Path) -> ParallelData:
    folder = tmp_path / "data"
    folder.mkdir()
    for split in ("train", "val"):
        (folder / f"{split}.en").write_text("\n".join(ENGLISH) + "\n")
        (folder / f"{split}.de").write_text("\n".join(GERMAN) + "\n")
    return load(str(folder), source="en", target="de")


def sentences(prepared: Prepared) -> list[list[int]]:
    return [ids.tolist() for corpus in (prepared.sources, prepared.targets) for ids in corpus]


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_no_subword_is_unknown_however_the_text_is_cut(data, tmp_path, model, joint):
    options = TextOptions(
        tokenizer="subwords", subword_model=model, vocabulary_size=70, joint=joint
    )
    prepared = prepare(data, options, tmp_path / "cache")
    for language, texts in ((prepared.source, ENGLISH), (prepared.target, GERMAN)):
        assert set(language.tokenizer.pieces) <= set(language.vocabulary.tokens)
        assert len(language.vocabulary) <= 70
        for text in texts:
            for part in (text, text[1:], text[::-1]):  # cut into other subwords
                assert UNK not in language.encode(part)
            assert language.decode(language.encode(text)) == text


@pytest.mark.parametrize("tokenizer", ["words", "characters", "subwords"])
@pytest.mark.parametrize("joint", [False, True])
def test_words_are_counted_on_their_own_side(data, tmp_path, tokenizer, joint):
    options = TextOptions(tokenizer=tokenizer, vocabulary_size=60, joint=joint, min_count=4)
    prepared = prepare(data, options, tmp_path / "cache")
    assert (prepared.source.vocabulary.tokens == prepared.target.vocabulary.tokens) == joint
    for language, corpus in (
        (prepared.source, prepared.sources),
        (prepared.target, prepared.targets),
    ):
        # Of all targets that a model sees: each sentence ends once.
        seen = Counter(number for ids in corpus for number in [*ids.tolist(), EOS])
        assert list(language.vocabulary.counts) == [
            seen[number] for number in range(len(language.vocabulary))
        ]


def test_the_text_is_prepared_once_for_each_choice_of_options(data, tmp_path):
    options = TextOptions(tokenizer="subwords", vocabulary_size=70)
    first = prepare(data, options, tmp_path / "cache")
    again = prepare(data, replace(options), tmp_path / "cache")
    other = prepare(data, replace(options, joint=True), tmp_path / "cache")
    assert again.sources.path == first.sources.path != other.sources.path
    assert sentences(again) == sentences(first)


@pytest.mark.parametrize("name", FILES)
def test_what_is_missing_is_made_again(data, tmp_path, name):
    before = sentences(prepare(data, TextOptions(), tmp_path / "cache"))
    (folder,) = (tmp_path / "cache").iterdir()
    (folder / name).unlink()
    assert sentences(prepare(data, TextOptions(), tmp_path / "cache")) == before
    assert (folder / name).is_file()


def test_by_default_the_cache_is_the_users_wherever_one_is(data, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    prepared = prepare(data, TextOptions(), None)
    assert prepared.sources.path.is_relative_to(tmp_path / "user" / "unroll" / "corpora")
    assert {each.name for each in tmp_path.iterdir()} == {"data", "user"}


def test_nothing_is_prepared_in_a_link_to_another_folder(data, tmp_path):
    prepare(data, TextOptions(), tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    (folder / "prepared.json").unlink()
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link to another folder"):
        prepare(data, TextOptions(), tmp_path / "cache")
    assert not (tmp_path / "elsewhere" / "prepared.json").exists()
