"""Honest scores of a translator: it writes, and what it wrote is compared with what people wrote."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from PIL import Image
from tqdm import tqdm

from common.decoding.search import Search
from common.errors import UserError
from common.evaluation.pictures import heat_map, stacked
from common.evaluation.subject import Subject
from common.evaluation.translation import Tokenization, score_translations
from common.files import atomic_write, write_json
from common.models.writer import Call, Sentence
from seq2seq.data import Pair
from seq2seq.translator import Translator

LONGEST_SHOWN = 60  # tokens of a sentence whose alignment can still be read


@dataclass(frozen=True)
class Evaluation:
    """What a translator wrote for some sentences, and how good it is.

    Args:
        metrics: bleu and chrf on sacreBLEU's scale of 0 to 100, exact_match (share of 1), tokens
            (mean length of a translation) and seconds.
        signatures: of bleu and chrf: how they were computed.
        translations: of each sentence, best first.
    """

    metrics: dict[str, float]
    signatures: dict[str, str]
    translations: list[list[Sentence]]


def evaluate(
    translator: Translator,
    pairs: Sequence[Pair],
    *,
    batch_size: int = 64,
    lowercase: bool = False,
    tokenize: Tokenization = "13a",
    description: str = "translations",
    search: Search | None = None,
    **call: Unpack[Call],
) -> Evaluation:
    """Translate every source by search and score the translations against the references.

    Args:
        translator: the model, which never sees the references.
        pairs: raw text; the references are not tokenised.
        batch_size: sentences translated at a time.
        lowercase: score lower-cased text, which the signature then says: for a model that writes
            lower case.
        tokenize: how BLEU finds words; see `score_translations`.
        description: what the progress bar says.
        search: the strategy; that of the translator by default.
        call: precision, generator, ...; see `common.models.writer.Call`.
    """
    start = time.perf_counter()
    found: list[list[Sentence]] = []
    chunk = 8 * batch_size  # enough to put sentences of similar length together
    with tqdm(
        total=len(pairs), desc=description, unit=" sentences", leave=False, disable=None
    ) as bar:
        for first in range(0, len(pairs), chunk):
            texts = [pair.source for pair in pairs[first : first + chunk]]
            found += translator.translations(texts, search, batch_size=batch_size, **call)
            bar.update(len(texts))
    seconds = time.perf_counter() - start

    references = [pair.target.lower() if lowercase else pair.target for pair in pairs]
    written = [best[0].text for best in found]
    scores = score_translations(written, references, lowercase=lowercase, tokenize=tokenize)
    tokens = float(np.mean([len(best[0].tokens) for best in found])) if found else 0.0
    metrics = scores.metrics | {"tokens": tokens, "seconds": seconds}
    return Evaluation(metrics, scores.signatures, found)


def write_evaluation(folder: Path, subject: Subject, evaluation: Evaluation) -> None:
    """Write `evaluation-NAME.json` (metrics, signatures, and of what: data, ensemble, search) and
    `translations-NAME.txt` (a line a sentence, in order)."""
    said = {"signatures": evaluation.signatures} | subject.said()
    write_json(folder / f"evaluation-{subject.name}.json", evaluation.metrics | said)
    with atomic_write(folder / f"translations-{subject.name}.txt") as file:
        for best in evaluation.translations:
            file.write(best[0].text.replace("\n", " ") + "\n")


def can_be_shown(translator: Translator, text: str, tokens: Sequence[str]) -> bool:
    """Whether the alignment of a source text and its translation is of a size that can be read."""
    source = translator.source.tokenizer.encode(text)
    return 0 < len(tokens) <= LONGEST_SHOWN and 0 < len(source) <= LONGEST_SHOWN


def alignment_sheet(
    translator: Translator, sentences: Sequence[tuple[str, Sequence[str]]]
) -> Image.Image:
    """Heat maps of which source word was looked at while each target word was written.

    Args:
        translator: a model with attention.
        sentences: source texts, each with the tokens of its translation.

    Raises:
        UserError: the model has no attention.
    """
    maps = []
    for text, tokens in sentences:
        source = translator.source.tokenizer.encode(text)
        weights = translator.attention(source, tokens)
        if weights is None:
            raise UserError("this translator has no attention to show: it was trained without.")
        maps.append(heat_map(weights, [*tokens, "<eos>"], [*source, "<eos>"]))
    return stacked(maps)
