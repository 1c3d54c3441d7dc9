"""What the translator's commands do, once their arguments are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import cast

from PIL.Image import Image

from common.cli.command_line import check_picture, print_metrics
from common.data.damage import Damage
from common.data.encodings import check_encoding, text_encoding
from common.data.reading import byte_lines, decode_line
from common.errors import UserError, printable
from common.evaluation.pictures import stacked
from common.files import atomic_write
from common.models.writer import Sentence
from seq2seq.evaluation import alignment
from seq2seq.options import EvaluateOptions, TranslateOptions
from seq2seq.train import evaluate_run, train
from seq2seq.translator import Translating, Translator

__all__ = ["evaluate", "read_lines", "train", "translate"]

SHOWN_ALIGNMENTS = 12


def evaluate(options: EvaluateOptions) -> None:
    """Print the scores of a split, each BLEU with its signature."""
    evaluate_run(options.run, **options.arguments(), on_evaluated=print_metrics)


def translate(options: TranslateOptions) -> None:
    """Translate a file or standard input."""
    if sys.stdout is None:
        raise UserError("standard output is closed: there is nowhere to write to.")
    if options.alignments is not None:
        check_picture(options.alignments, "--alignments")
    if options.encoding is not None:
        check_encoding(options.encoding)  # before a model is read
    translator = Translator.from_run(options.run, *options.ensemble, device=options.device)
    for option, given in (
        ("--alignments", options.alignments),
        ("--replace-unknown", options.replace_unknown),
    ):
        if given and not translator.has_attention:
            raise UserError(f"{option} needs attention, and this translator has none.")
    search = options.search.strategy()
    how: Translating = {
        **options.call(translator.device), "keep_attention": options.alignments is not None,
        "batch_size": options.batch_size, "replace_unknown": options.replace_unknown,
    }  # fmt: skip
    interactive = options.file == "-" and sys.stdin is not None and sys.stdin.isatty()
    if interactive:
        print("Write a sentence and press Enter; Ctrl-D ends.", file=sys.stderr)
    shown: list[Image] = []
    lines = read_lines(options.file, options.encoding)
    # At a terminal each line is answered at once; otherwise many together, which is far faster.
    while chunk := list(islice(lines, 1 if interactive else 8 * options.batch_size)):
        found = translator.translations(chunk, search, **how)
        for text, best in zip(chunk, found, strict=True):
            for translation in best:
                print(_line(translation, options))
            if len(shown) < SHOWN_ALIGNMENTS:
                picture = alignment(translator, text, best[0])
                shown += [] if picture is None else [picture]
        sys.stdout.flush()
    if options.alignments is not None and not shown:
        print("--alignments: no line that could be shown; nothing is written", file=sys.stderr)
    elif options.alignments is not None:
        with atomic_write(options.alignments, "wb") as file:
            stacked(shown).save(file, format="PNG")


def read_lines(name: str, encoding: str | None = None) -> Iterator[str]:
    r"""The lines of a file, or of standard input if it is called -; a line ends at \n alone.

    A pipe that is named is read too, as the shell has it for <(...): each line is needed once. What
    cannot be decoded is replaced and reported, so that the lines stay in step.

    Raises:
        UserError: there is no such file, or as `byte_lines`.
    """
    if name == "-" and sys.stdin is None:
        raise UserError("standard input is closed: name a file to translate.")
    if name != "-" and not os.path.exists(name):
        raise UserError(
            f"{name}: there is no such file. Name a text file, or - for standard input."
        )
    stream = cast(BufferedReader, sys.stdin.buffer) if name == "-" else None
    if stream is None and not (os.path.isfile(name) or os.path.isdir(name)):
        stream = open(name, "rb")  # noqa: SIM115 (`byte_lines` closes it)
    with text_encoding(encoding):
        lines = byte_lines(Path(name), stream)
    for number, line in enumerate(lines, 1):
        try:
            yield decode_line(line)
        except Damage as damage:
            print(printable(f"{name}:{number}: {damage}; it is replaced"), file=sys.stderr)
            yield decode_line(line, errors="replace")


def _line(translation: Sentence, options: TranslateOptions) -> str:
    # A character model may write a line end, which would put the lines out of step.
    text = printable(translation.text.replace("\n", " "))
    return f"{translation.score:.4f}\t{text}" if options.scores else text
