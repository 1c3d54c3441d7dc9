"""Scores of a translator: what it writes by a search, compared with the reference translations."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from PIL import Image

from common.decoding.search import Search
from common.evaluation.heat_map import heat_map
from common.evaluation.pages import pages
from common.evaluation.translation import Tokenization, TranslationScores
from common.models.sentence import Sentence
from common.models.writer import Call
from common.progress import Bar
from common.training.task import Evaluation
from common.training.tracking import Tracker
from seq2seq.data import Pair
from seq2seq.score import score_texts
from seq2seq.translator import Translator

# The metrics that TensorBoard shows together, by the title of their chart; see `writing_task`.
SCORES = {"BLEU": ("bleu",), "chrF": ("chrf",)}

LONGEST_SHOWN = 60  # tokens of a sentence whose alignment can still be read


def evaluate(
    translator: Translator,
    pairs: Sequence[Pair],
    *,
    batch_size: int = 64,
    lowercase: bool = False,
    tokenize: Tokenization = "13a",
    shown: int = 0,
    replace_unknown: bool = False,
    recorded: Mapping[str, Any] | None = None,
    search: Search | None = None,
    **call: Unpack[Call],
) -> Evaluation:
    """Translate every source by search and score the translations against the references.

    The metrics are bleu and chrf on sacreBLEU's scale of 0 to 100, with their signatures, exact_match
    (fraction of 1), tokens (mean length of a translation) and seconds; where no sentence has a
    reference, the last two alone. The outputs are the translations of each sentence, best first.

    Args:
        translator: the model, which never sees the references.
        pairs: raw text; the references are not tokenised.
        batch_size: sentences translated at a time.
        lowercase: score lower-cased text, which the signature then says: for a model that writes
            lower case.
        tokenize: how BLEU finds words; see `score_translations`.
        shown: of the first so many pairs, keep where the model looked (`Sentence.attention`), and
            draw it.
        replace_unknown: as `Translator.translations` takes it; recorded where it is done.
        recorded: what else the file of the evaluation is to say.
        search: the strategy; that of the translator by default.
        call: precision, generator, ...; see `common.models.writer.Call`.
    """
    start = time.perf_counter()
    found: list[list[Sentence]] = []
    chunk = 8 * batch_size  # enough to put sentences of similar length together
    with Bar("translations", len(pairs), "sentences") as bar:
        for first in range(0, len(pairs), chunk):
            texts = [pair.source for pair in pairs[first : first + chunk]]
            call["keep_attention"] = first < shown
            found += translator.translations(
                texts, search, batch_size=batch_size, replace_unknown=replace_unknown, **call
            )
            bar.advance(len(texts))
    seconds = time.perf_counter() - start

    written = [best[0].text for best in found]
    scores, notes = TranslationScores({}, {}), ["no scores: these sentences have no references"]
    if has_references(pairs):
        references = [[pair.target] for pair in pairs]
        scores, notes = score_texts(written, references, lowercase, tokenize), []
    tokens = float(np.mean([len(best[0].tokens) for best in found])) if found else 0.0
    metrics = scores.metrics | {"tokens": tokens, "seconds": seconds}
    lines = "".join(text.replace("\n", " ") + "\n" for text in written)
    files: dict[str, str | bytes | Image.Image] = {"translations.txt": lines}
    drawn = (picture for _, picture in _alignments(translator, pairs[:shown], found))
    if (page := next(pages(drawn), None)) is not None:
        files["alignments.png"] = page
    more = {"replace_unknown": True} if replace_unknown else {}
    return Evaluation(
        metrics, scores.signatures, files=files, notes=notes,
        recorded={**translator.recorded(search, call), **more, **(recorded or {})}, outputs=found,
    )  # fmt: skip


def has_references(pairs: Sequence[Pair]) -> bool:
    """Whether any sentence has a translation; those of a blind test have none."""
    return any(pair.target.strip() for pair in pairs)


def show_translations(
    tracker: Tracker,
    translator: Translator,
    pairs: Sequence[Pair],
    translations: Sequence[Sequence[Sentence]],
) -> None:
    """Show some sentences in TensorBoard with their best translations, and where the model looked.

    Args:
        tracker: where to.
        translator: it wrote the translations.
        pairs: those to show; a handful.
        translations: of the pairs in their order, best first; more are passed over.
    """
    best = [found[0] for found in translations[: len(pairs)]]
    tracker.table(
        "translations",
        ("source", "translation", "log-probability", "reference"),
        [
            (pair.source, written.text, f"{written.log_probability:.1f}", pair.target)
            for pair, written in zip(pairs, best, strict=True)
        ],
    )
    for number, picture in _alignments(translator, pairs, translations):
        tracker.images(f"with attention/{number}", picture)


def _alignments(
    translator: Translator, pairs: Sequence[Pair], translations: Sequence[Sequence[Sentence]]
) -> Iterator[tuple[int, Image.Image]]:
    """The number of each pair that has a picture, and the picture; see `alignment`."""
    for number, (pair, (written, *_)) in enumerate(zip(pairs, translations, strict=False)):
        if (picture := alignment(translator, pair.source, written, pair.target)) is not None:
            yield number, picture


def alignment(
    translator: Translator, text: str, written: Sentence, reference: str = ""
) -> Image.Image | None:
    """A heat map of which source word was looked at while each target word was written, below the
    sentences.

    Args:
        translator: it wrote the translation.
        text: the source.
        written: its translation, with its attention.
        reference: its reference translation, if there is one.

    Returns:
        None where the translation has no attention, or either side is too long to be read.
    """
    source = translator.source.tokenizer.encode(text)
    lengths = len(source), len(written.tokens)
    if written.attention is None or not all(0 < length <= LONGEST_SHOWN for length in lengths):
        return None
    words = [*written.tokens, "<eos>"][: len(written.attention)]
    heading = {"source": text, "translation": written.text}
    if reference:
        heading["reference"] = reference
    return heat_map(written.attention, words, [*source, "<eos>"], heading=heading)
