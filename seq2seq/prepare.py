"""The training text as token ids on disk: made once for all runs, read batch by batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.data.corpus import Corpus, write_corpus
from common.files import write_json
from common.text.language import Language
from common.text.subword import SubwordTokenizer
from common.text.tokenizer import CharacterTokenizer, Tokenizer, WordTokenizer
from common.text.vocabulary import EOS, SPECIALS, Vocabulary
from seq2seq.data import ParallelData, ParallelText
from seq2seq.options import TextOptions

VERSION = 3  # of the files and of how text becomes tokens
SIDES = ("source", "target")
FILES = tuple(
    side + name for side in SIDES for name in (".ids", "_tokenizer.json", "_vocabulary.json")
)


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


def prepare(data: ParallelData, options: TextOptions, cache: Path) -> Prepared:
    """Tokenizers, vocabularies and token ids of the training split, from the cache if they are there.

    Args:
        data: the pairs.
        options: how text becomes tokens.
        cache: gets a folder for each training text and each choice of options.

    Raises:
        UserError: the training split is missing, or too small for the vocabulary.
    """
    train = data.split("train")
    names = f"{data.name}-{data.source_language}-{data.target_language}"
    folder = cache / f"{names}-{_key(train, options)}"
    marker = folder / "prepared.json"
    if not all((folder / name).is_file() for name in (marker.name, *FILES)):
        folder.mkdir(parents=True, exist_ok=True)
        source, target = _languages(train, options)
        for side, language in zip(SIDES, (source, target), strict=True):
            path = folder / f"{side}.ids"
            write_corpus(path, _encoded(train, side, language), len(language.vocabulary))
            _counted(language, Corpus.open(path)).save(folder, f"{side}_")
        write_json(marker, {"version": VERSION, "pairs": len(train), "options": asdict(options)})
    return Prepared(
        Language.load(folder.joinpath, "source_"),
        Language.load(folder.joinpath, "target_"),
        Corpus.open(folder / "source.ids"),
        Corpus.open(folder / "target.ids"),
    )


def usable_pairs(sources: Corpus, targets: Corpus, max_length: int) -> np.ndarray:
    """Indices of the pairs that can be learnt from: no side is empty or too long."""
    lengths = np.stack([sources.lengths, targets.lengths])
    return np.flatnonzero(((lengths > 0) & (lengths <= max_length)).all(0))


def _key(train: ParallelText, options: TextOptions) -> str:
    """Of all that the files in a cache folder depend on."""
    # Subwords are drawn from the model of the best ones: these files are the same.
    kept = asdict(replace(options, subword_sampling=0.0))
    parts = json.dumps([VERSION, train.digest, kept], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _languages(train: ParallelText, options: TextOptions) -> tuple[Language, Language]:
    if options.joint:
        both = _language([_Side(train, side) for side in SIDES], "both languages", options)
        return both, both
    source, target = (_language([_Side(train, side)], side, options) for side in SIDES)
    return source, target


def _language(texts: list[Iterable[str]], name: str, options: TextOptions) -> Language:
    tokenizer = _tokenizer(texts, name, options)
    every = tqdm(
        chain(*texts), desc=f"vocabulary of {name}", unit=" lines", leave=False, disable=None
    )
    tokens = (tokenizer.encode(text) for text in every)
    # Every character and subword is kept, however rare: without it, its text could not be written.
    # Some subwords are only steps to longer ones; rare words and drawn segmentations need them.
    vocabulary = Vocabulary.build(
        tokens,
        options.min_count if options.tokenizer == "words" else 1,
        None if options.tokenizer == "characters" else options.vocabulary_size,
        always=tokenizer.pieces if isinstance(tokenizer, SubwordTokenizer) else (),
    )
    return Language(tokenizer, vocabulary)


def _counted(language: Language, corpus: Corpus) -> Language:
    """With the counts of one side alone: two languages may have been counted together."""
    counts = corpus.counts()
    counts[EOS] += len(corpus)
    words = language.vocabulary.tokens[len(SPECIALS) :]
    return Language(language.tokenizer, Vocabulary(words, counts.tolist()))


def _tokenizer(texts: list[Iterable[str]], name: str, options: TextOptions) -> Tokenizer:
    if options.tokenizer == "words":
        return WordTokenizer(lowercase=options.lowercase, punctuation=True)
    if options.tokenizer == "characters":
        return CharacterTokenizer(lowercase=options.lowercase)
    every = tqdm(
        chain(*texts), desc=f"subwords of {name}", unit=" lines", leave=False, disable=None
    )
    return SubwordTokenizer.train(
        every, options.vocabulary_size, kind=options.subword_model, lowercase=options.lowercase
    )


@dataclass(frozen=True)
class _Side:
    """One side of the pairs, as often as it is asked for."""

    pairs: ParallelText
    name: str

    def __iter__(self) -> Iterator[str]:
        return (getattr(pair, self.name) for pair in self.pairs)


def _encoded(train: ParallelText, side: str, language: Language) -> Iterator[list[int]]:
    lines = tqdm(
        _Side(train, side),
        desc=f"{side} as ids",
        total=len(train),
        unit=" lines",
        leave=False,
        disable=None,
    )
    return (language.encode(text) for text in lines)
