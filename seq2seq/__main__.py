"""The translator's command line: train, evaluate, translate."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from common.bounds import Amount, BeamSize, Positive, check_bounds
from common.command_line import (
    EvaluationOptions,
    check_n_best,
    check_picture,
    given_options,
    print_metrics,
)
from common.damage import Damage
from common.encoder_decoder import Precision
from common.errors import UserError, run_command
from common.files import atomic_write
from common.text.reading import LineFile, decode_line
from seq2seq.evaluation import alignment_sheet
from seq2seq.options import TrainOptions
from seq2seq.train import evaluate_run, train
from seq2seq.translator import Translation, Translator

SHOWN_ALIGNMENTS = 12
LONGEST_SHOWN = 60  # tokens of a translation whose alignment can still be read


@dataclass(frozen=True)
class EvaluateOptions(EvaluationOptions):
    """Translate a split by beam search and score what was written, by sacreBLEU."""


@dataclass(frozen=True)
class TranslateOptions:
    """Translate line by line: one line out for each line in, blank ones included, in order."""

    run: Positional[Path]
    """A folder that `train` wrote."""
    file: Positional[str] = "-"
    """A text file, plain or .gz, one sentence a line; - for standard input."""
    ensemble: tuple[Path, ...] = ()
    """More runs on the same vocabularies: the probabilities of all are averaged at every step."""
    n_best: Positive = 1
    """Translations of each line, best first: so many lines out for each line in."""
    scores: bool = False
    """Write the score before each translation, with a tab between them."""
    alignments: Path | None = None
    """Write where the model looked, for the first dozen lines, to this PNG."""
    replace_unknown: bool = False
    """Put the source word that was looked at most where the model writes the unknown word."""
    beam_size: BeamSize | None = None
    """Hypotheses kept for each sentence; as in training by default."""
    length_penalty: Amount | None = None
    """Exponent of the length that a translation's log-probability is divided by; as in training."""
    max_length: Positive | None = None
    """Most tokens of a translation; as in training by default."""
    batch_size: Positive = 64
    """Sentences translated at a time."""
    precision: Precision | None = None
    """Arithmetic of the search: bf16 is faster where the hardware has it; as that of
    training's validations by default."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU if there is one."""


def main() -> None:
    """Run the command that the arguments name."""
    options = tyro.extras.subcommand_cli_from_dict(
        {"train": TrainOptions, "evaluate": EvaluateOptions, "translate": TranslateOptions},
        prog="python -m seq2seq",
        description="Learn to translate sentences, and translate them.",
        config=(OmitArgPrefixes,),
    )
    check_bounds(options)
    if isinstance(options, TrainOptions):
        train(options)
    elif isinstance(options, EvaluateOptions):
        evaluate(options)
    else:
        translate(options)


def evaluate(options: EvaluateOptions) -> None:
    """Print the scores of a split, each BLEU with its signature."""
    evaluation = evaluate_run(options.run, **options.arguments())
    print_metrics(evaluation.metrics, evaluation.signatures)


def translate(options: TranslateOptions) -> None:
    """Translate a file or standard input."""
    if sys.stdout is None:
        raise UserError("standard output is closed: there is nowhere to write to.")
    if options.alignments is not None:
        check_picture(options.alignments, "--alignments")
    translator = Translator.from_run(options.run, *options.ensemble, device=options.device)
    if options.alignments is not None and translator.attention(["a"], ["a"]) is None:
        raise UserError("--alignments: this translator has none to show, it is without attention.")
    search = {"n_best": options.n_best} | given_options(
        options, "beam_size", "length_penalty", "max_length", "precision"
    )
    check_n_best(options.n_best, search.get("beam_size", translator.search["beam_size"]))
    interactive = options.file == "-" and sys.stdin is not None and sys.stdin.isatty()
    if interactive:
        print("Write a sentence and press Enter; Ctrl-D ends.", file=sys.stderr)
    shown: list[tuple[str, list[str]]] = []
    lines = read_lines(options.file)
    # At a terminal each line is answered at once; otherwise many together, which is far faster.
    while chunk := list(islice(lines, 1 if interactive else 8 * options.batch_size)):
        found = translator.translations(
            chunk,
            batch_size=options.batch_size,
            replace_unknown=options.replace_unknown,
            **search,
        )
        for text, best in zip(chunk, found, strict=True):
            for translation in best:
                print(_line(translation, options))
            if len(shown) < SHOWN_ALIGNMENTS and 0 < len(best[0].tokens) <= LONGEST_SHOWN:
                shown.append((text, best[0].tokens))
        sys.stdout.flush()
    if options.alignments is not None and not shown:
        print("--alignments: no line that could be shown; nothing is written", file=sys.stderr)
    elif options.alignments is not None:
        sheet = alignment_sheet(translator, shown)
        with atomic_write(options.alignments, "wb") as file:
            sheet.save(file, format="PNG")


def read_lines(name: str) -> Iterator[str]:
    r"""The lines of a file, or of standard input if it is called -; a line ends at \n alone.

    What is not UTF-8 is replaced and reported, so that the lines stay in step.

    Raises:
        UserError: there is no such file, it is UTF-16, or a damaged `.gz`.
    """
    if name == "-" and sys.stdin is None:
        raise UserError("standard input is closed: name a file to translate.")
    if name != "-" and not Path(name).exists():
        raise UserError(
            f"{name}: there is no such file. Name a text file, or - for standard input."
        )
    stream = sys.stdin.buffer if name == "-" else LineFile(Path(name))
    with stream:
        for number, line in enumerate(stream, 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            try:
                yield decode_line(line)
            except Damage as damage:
                print(f"{name}:{number}: {damage}; it is replaced", file=sys.stderr)
                yield decode_line(line, errors="replace")


def _line(translation: Translation, options: TranslateOptions) -> str:
    # A character model may write a line end, which would put the lines out of step.
    text = translation.text.replace("\n", " ")
    return f"{translation.score:.4f}\t{text}" if options.scores else text


if __name__ == "__main__":
    run_command(main)
