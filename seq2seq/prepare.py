"""The training text as token ids on disk: made once for all runs, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from common.config.plain import plain
from common.data.corpus import Corpus, write_corpus
from common.files import make_folder, short_digest, user_cache, write_json
from common.models.vocabularies import subwords_of
from common.progress import over
from common.text.language import Language
from common.text.subword import SubwordTokenizer
from common.text.vocabulary import EOS, SPECIALS, Vocabulary
from seq2seq.data import ParallelData, ParallelText
from seq2seq.options import TextOptions, TrainOptions

VERSION = 4  # of the files and of how text becomes tokens
SIDES = ("source", "target")
_ENDINGS = (".ids.npy", ".offsets.npy", "_tokenizer.json", "_vocabulary.json")
FILES = tuple(side + ending for side in SIDES for ending in _ENDINGS)


@dataclass(frozen=True)
class Prepared:
    """What a translator is trained on.

    Args:
        source, target: the languages, of the training split alone.
        sources, targets: the training pairs as ids, without start and end token.
    """

    source: Language
    target: Language
    sources: Corpus
    targets: Corpus


def prepare(
    data: ParallelData,
    options: TextOptions,
    cache: Path | None = None,
    subwords: Mapping[str, SubwordTokenizer] = MappingProxyType({}),
    languages: Sequence[Language] | None = None,
) -> Prepared:
    """Tokenizers, vocabularies and token ids of the training split, from the cache if they are there.

    Args:
        data: the pairs.
        options: how text becomes tokens.
        cache: gets a folder for each training text and each choice of options; the user's by default.
        subwords: by side, those that are not learnt from the text, nor read from the files that the
            options name.
        languages: source and target, if they are known.

    Raises:
        UserError: the training split is missing, or too small for the vocabulary.
    """
    train = data.translated("train")
    names = f"{data.name}-{data.source_language}-{data.target_language}"
    given = {side: subwords.get(side) or options.of_side(side).given_model() for side in SIDES}
    more: list[object] = [
        [side, sha256(each.model).hexdigest()] for side, each in given.items() if each is not None
    ]
    more += [[each.tokenizer.to_dict(), each.vocabulary.tokens] for each in languages or ()]
    # All that the files depend on.
    key = short_digest([VERSION, train.digest, plain(options), *more])
    folder = (cache or user_cache("corpora")) / f"{names}-{key}"
    marker = folder / "prepared.json"
    if not all((folder / name).is_file() for name in (marker.name, *FILES)):
        make_folder(folder)
        learnt = languages or _languages(train, options, given)
        for side, language in zip(SIDES, learnt, strict=True):
            ids = map(language.encode, _texts(train, side, f"{side} as ids"))
            write_corpus(folder / side, ids, len(language.vocabulary))
            _counted(language, Corpus(folder / side)).save(folder, f"{side}_")
        write_json(marker, {"version": VERSION, "pairs": len(train), "options": plain(options)})
    source, target = (Language.load(folder.joinpath, f"{side}_") for side in SIDES)
    sources, targets = (
        Corpus(folder / side, len(language.vocabulary))
        for side, language in zip(SIDES, (source, target), strict=True)
    )
    return Prepared(source, target, sources, targets)


def begun_from(options: TrainOptions) -> dict[str, SubwordTokenizer]:
    """The subwords, by their side, of the run whose weights are taken; those that there are."""
    parts, found = {"source": "encoder", "target": "decoder"}, dict[str, SubwordTokenizer]()
    for side, part in parts.items():
        if options.init_from is not None and options.takes(part):
            subwords = subwords_of(options.init_from, options.text, f"{side}_")
            found |= {} if subwords is None else {side: subwords}
    return found


def kept_models(
    options: TextOptions, source: Language, target: Language
) -> dict[str, SubwordTokenizer]:
    """The SentencePiece models of a run that were given to it, by side: their files may be gone."""
    tokenizers = {"source": source.tokenizer, "target": target.tokenizer}
    return {
        side: tokenizer
        for side, tokenizer in tokenizers.items()
        if isinstance(tokenizer, SubwordTokenizer) and options.of_side(side).names_model
    }


def _languages(
    train: ParallelText, options: TextOptions, given: Mapping[str, SubwordTokenizer | None]
) -> list[Language]:
    """The languages of both sides, which may be one."""
    if options.joint:
        return [_language(train, SIDES, "both languages", options, given["source"])] * 2
    return [_language(train, (side,), side, options.of_side(side), given[side]) for side in SIDES]


def _language(
    train: ParallelText,
    sides: Sequence[str],
    name: str,
    options: TextOptions,
    subwords: SubwordTokenizer | None,
) -> Language:
    """The tokenizer and the vocabulary of one side, or of both."""

    def texts(task: str) -> Iterator[str]:
        return chain.from_iterable(_texts(train, side, f"{task} of {name}") for side in sides)

    return options.learn(texts, punctuation=True, subwords=subwords)


def _counted(language: Language, corpus: Corpus) -> Language:
    """With the counts of one side alone: two languages may have been counted together."""
    counts = corpus.counts(len(language.vocabulary))
    counts[EOS] += len(corpus)
    words = language.vocabulary.tokens[len(SPECIALS) :]
    return Language(language.tokenizer, Vocabulary(words, counts.tolist()))


def _texts(train: ParallelText, side: str, task: str) -> Iterator[str]:
    """The sentences of one side, with a progress bar."""
    lines = over(train, task, len(train), "lines")
    return (getattr(pair, side) for pair in lines)
