"""The training text as token ids on disk: made once for all runs, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from common.data.corpus import Corpus, write_corpus
from common.files import make_folder, short_digest, user_cache, write_json
from common.text.language import Language
from common.text.vocabulary import EOS, SPECIALS, Vocabulary
from seq2seq.data import ParallelData, ParallelText
from seq2seq.options import TextOptions

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


def prepare(data: ParallelData, options: TextOptions, cache: Path | None = None) -> Prepared:
    """Tokenizers, vocabularies and token ids of the training split, from the cache if they are there.

    Args:
        data: the pairs.
        options: how text becomes tokens.
        cache: gets a folder for each training text and each choice of options; the user's by default.

    Raises:
        UserError: the training split is missing, or too small for the vocabulary.
    """
    train = data.translated("train")
    names = f"{data.name}-{data.source_language}-{data.target_language}"
    key = short_digest([VERSION, train.digest, asdict(options)])  # all that the files depend on
    folder = (cache or user_cache("corpora")) / f"{names}-{key}"
    marker = folder / "prepared.json"
    if not all((folder / name).is_file() for name in (marker.name, *FILES)):
        make_folder(folder)
        if options.joint:
            languages = [_language(train, SIDES, "both languages", options)] * 2
        else:
            languages = [_language(train, (side,), side, options) for side in SIDES]
        for side, language in zip(SIDES, languages, strict=True):
            ids = map(language.encode, _texts(train, side, f"{side} as ids"))
            write_corpus(folder / side, ids, len(language.vocabulary))
            _counted(language, Corpus(folder / side)).save(folder, f"{side}_")
        write_json(marker, {"version": VERSION, "pairs": len(train), "options": asdict(options)})
    source, target = (Language.load(folder.joinpath, f"{side}_") for side in SIDES)
    sources, targets = (
        Corpus(folder / side, len(language.vocabulary))
        for side, language in zip(SIDES, (source, target), strict=True)
    )
    return Prepared(source, target, sources, targets)


def _language(
    train: ParallelText, sides: Sequence[str], name: str, options: TextOptions
) -> Language:
    """The tokenizer and the vocabulary of one side, or of both."""

    def texts(task: str) -> Iterator[str]:
        return chain.from_iterable(_texts(train, side, f"{task} of {name}") for side in sides)

    return options.learn(texts, punctuation=True)


def _counted(language: Language, corpus: Corpus) -> Language:
    """With the counts of one side alone: two languages may have been counted together."""
    counts = corpus.counts(len(language.vocabulary))
    counts[EOS] += len(corpus)
    words = language.vocabulary.tokens[len(SPECIALS) :]
    return Language(language.tokenizer, Vocabulary(words, counts.tolist()))


def _texts(train: ParallelText, side: str, task: str) -> Iterator[str]:
    """The sentences of one side, with a progress bar."""
    lines = tqdm(train, desc=task, total=len(train), unit=" lines", leave=False, disable=None)
    return (getattr(pair, side) for pair in lines)
