"""What the translator's commands do, once their arguments are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice, zip_longest
from pathlib import Path

from PIL.Image import Image

from common.cli.command_line import check_output, check_picture, note_unknown, print_metrics
from common.cli.likelihood import print_likelihoods
from common.data.damage import Damage
from common.data.encodings import check_encoding, text_encoding
from common.data.reading import byte_lines, decode_line, lines_of
from common.errors import UserError, printable
from common.evaluation.pages import named, pages, write_pages
from common.files import atomic_write
from common.models.calls import Prefix
from common.models.likelihood import Likelihood
from common.models.sentence import Sentence
from common.progress import say, warn
from seq2seq import train as training
from seq2seq.alignments import pharaoh, word_alignment
from seq2seq.evaluation import alignment
from seq2seq.options import EvaluateOptions, LogprobOptions, TrainOptions, TranslateOptions
from seq2seq.translator import Translating, Translator

SHOWN_ALIGNMENTS = 12


def train(options: TrainOptions) -> None:
    """Train, and print the scores of the best weights."""
    training.train(options, on_evaluated=print_metrics)


def evaluate(options: EvaluateOptions) -> None:
    """Print the scores of a split, each BLEU with its signature."""
    training.evaluate_run(options.run, **options.arguments(), on_evaluated=print_metrics)


def translate(options: TranslateOptions) -> None:
    """Translate a file or standard input."""
    if sys.stdout is None:
        raise UserError("standard output is closed: there is nowhere to write to.")
    check_outputs(options)
    if options.encoding is not None:
        check_encoding(options.encoding)  # before a model is read
    translator = Translator.from_run(options.run, *options.ensemble, device=options.device)
    for option in ("alignments", "alignments_text", "replace_unknown"):
        if getattr(options, option) and not translator.has_attention:
            name = option.replace("_", "-")
            raise UserError(f"--{name} needs attention, and this translator has none.")
    shown: list[Image] = []
    with ExitStack() as stack:
        pairs = None
        if options.alignments_text is not None:
            pairs = stack.enter_context(atomic_write(options.alignments_text))
        for text, best in translated(translator, options):
            for translation in best:
                print(_line(translation, options))
                if pairs is not None:
                    pairs.write(pharaoh(word_alignment(translator, text, translation)) + "\n")
            if len(shown) < SHOWN_ALIGNMENTS:
                picture = alignment(translator, text, best[0])
                shown += [] if picture is None else [picture]
    if options.alignments is not None and not shown:
        warn("--alignments: no line that could be shown; nothing is written")
    elif options.alignments is not None:
        files = write_pages(options.alignments, pages(shown))
        say(printable(f"--alignments: {named(files)}"))


def check_outputs(options: TranslateOptions) -> None:
    """Refuse files that cannot be written, before the work whose result they show.

    Raises:
        UserError: one cannot, or is the text itself.
    """
    if options.alignments is not None:
        check_picture(options.alignments, "--alignments")
    if (path := options.alignments_text) is not None:
        check_output(path, "--alignments-text")
        if os.path.exists(options.file) and path.exists() and path.samefile(options.file):
            raise UserError(f"--alignments-text {path} is the text: name another file.")


def translated(
    translator: Translator, options: TranslateOptions
) -> Iterator[tuple[str, list[Sentence]]]:
    """Each line of a command's text with its translations; standard output is flushed between chunks."""
    how: Translating = {
        **options.call(translator.device), "batch_size": options.batch_size,
        "replace_unknown": options.replace_unknown,
        "keep_attention": bool(options.alignments or options.alignments_text),
    }  # fmt: skip
    search = options.search.strategy()
    interactive = options.file == "-" and sys.stdin is not None and sys.stdin.isatty()
    if interactive:
        say("Write a sentence and press Enter; Ctrl-D ends.")
    lines = read_lines(options.file, options.encoding)
    prefixes = Prefixes(options, translator)
    # At a terminal each line is answered at once; otherwise many together, which is far faster.
    while chunk := list(islice(lines, 1 if interactive else 8 * options.batch_size)):
        how["prefix"] = prefixes.take(len(chunk))
        yield from zip(chunk, translator.translations(chunk, search, **how), strict=True)
        sys.stdout.flush()
    prefixes.check_end()


def logprob(options: LogprobOptions) -> None:
    """Print how likely a run finds the translations of a file, line by line."""
    translator = Translator.from_run(options.run, *options.ensemble, device=options.device)
    pairs = zip_longest(read_lines(options.source), read_lines(options.translations))

    def scored() -> Iterator[list[Likelihood]]:
        while chunk := list(islice(pairs, 8 * options.batch_size)):
            if any(None in pair for pair in chunk):
                raise UserError(
                    f"{options.source} and {options.translations} differ in their number of lines: line "
                    "n of one must be the translation of line n of the other."
                )
            sources, targets = zip(*chunk, strict=True)
            yield translator.score(sources, targets, batch_size=options.batch_size)

    print_likelihoods(scored())


class Prefixes:
    """What the translations of a command begin with, chunk by chunk.

    Raises:
        UserError: two options name them; or their file, or that of the text, has more lines than the
            other.
    """

    def __init__(self, options: TranslateOptions, translator: Translator) -> None:
        self.for_all, self.file = options.prefix, options.prefix_file
        if self.for_all is not None and self.file is not None:
            raise UserError("--prefix and --prefix-file both say how lines begin: leave one out.")
        self.lines = [] if self.file is None else list(read_lines(str(self.file), options.encoding))
        self.taken = 0
        if self.file is None:
            note_unknown(translator.target, [self.for_all or ""], "--prefix")
            return
        note_unknown(translator.target, self.lines, "--prefix-file")
        if os.path.isfile(options.file):  # and no pipe: known before anything is translated
            with text_encoding(options.encoding):
                self._compare(sum(1 for _ in byte_lines(Path(options.file))))

    def take(self, count: int) -> Prefix:
        """Those of the next `count` lines."""
        if self.file is None:
            return self.for_all
        self.taken += count
        if self.taken > len(self.lines):
            raise UserError(f"{self.file} has {len(self.lines):,} lines, and the text has more.")
        return self.lines[self.taken - count : self.taken]

    def check_end(self) -> None:
        """No prefix is left where the text has ended."""
        if self.file is not None:
            self._compare(self.taken)

    def _compare(self, count: int) -> None:
        if count != len(self.lines):
            raise UserError(
                f"{self.file} has {len(self.lines):,} lines, and the text {count:,}: line n of one is "
                "what the translation of line n of the other begins with."
            )


def read_lines(name: str, encoding: str | None = None) -> Iterator[str]:
    r"""The lines of a file, or of standard input if it is called -; a line ends at \n alone.

    What cannot be decoded is replaced and reported, so that the lines stay in step.

    Raises:
        UserError: as `lines_of`.
    """
    with text_encoding(encoding):
        lines = lines_of(name, "translate")
    for number, line in enumerate(lines, 1):
        try:
            yield decode_line(line)
        except Damage as damage:
            warn(printable(f"{name}:{number}: {damage}; it is replaced"))
            yield decode_line(line, errors="replace")


def _line(translation: Sentence, options: TranslateOptions) -> str:
    # A character model may write a line end, which would put the lines out of step.
    text = printable(translation.text.replace("\n", " "))
    return f"{translation.score:.4f}\t{text}" if options.scores else text
