"""What the captioner's commands do, once their arguments are read."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from captioning import train as training
from captioning.captioner import Captioner
from captioning.evaluation import overlaid
from captioning.image_files import list_images
from captioning.images import open_image
from captioning.options import CaptionOptions, EvaluateOptions, LogprobOptions, TrainOptions
from common.cli.command_line import check_picture, note_unknown, print_metrics
from common.cli.likelihood import print_likelihoods
from common.data.reading import numbered_lines
from common.errors import UserError, printable
from common.evaluation.pages import named, pages, write_pages
from common.evaluation.sheet import Cell, contact_sheets, grid_for
from common.models.likelihood import Likelihood
from common.models.sentence import Sentence
from common.progress import say, warn


def train(options: TrainOptions) -> None:
    """Train, and print the scores of the best weights."""
    training.train(options, on_evaluated=print_metrics)


def evaluate(options: EvaluateOptions) -> None:
    """Print the scores of a split."""
    training.evaluate_run(options.run, **options.arguments(), on_evaluated=print_metrics)


def caption(options: CaptionOptions) -> None:
    """Print a caption for each picture; a picture that cannot be read is named and passed over."""
    if options.picture is not None:
        check_picture(options.picture, "--picture")
    elif options.attention:
        raise UserError("--attention is for the contact sheet: add --picture SHEET.png.")
    captioner = Captioner.from_run(
        options.run, *options.ensemble, device=options.device, features=options.features
    )
    if options.attention and not captioner.has_attention:
        raise UserError(
            "--attention: this captioner was trained without (--attention none), and has none to show."
        )
    paths = list_images(options.images)
    described = _described(captioner, paths, options)
    if options.picture is None:
        deque(described, maxlen=0)
        return
    if options.attention:
        fitted = captioner.transform.fitted
        sheets = pages(overlaid(fitted(image), best) for image, best in described)
    else:
        cells = (Cell(open_image(image, size=512), best.text) for image, best in described)
        sheets = contact_sheets(cells, **grid_for(len(paths)))
    try:
        files = write_pages(options.picture, sheets)
    except OSError:
        deque(described, maxlen=0)  # what cannot be shown is still captioned
        raise
    say(printable(f"--picture: {named(files)}"))


def _described(
    captioner: Captioner, paths: Sequence[Path], options: CaptionOptions
) -> Iterator[tuple[Path, Sentence]]:
    """Prints the captions of pictures, and gives each that could be read with its best caption.

    Raises:
        UserError: none could be read.
    """
    search, call = options.search.strategy(), options.call(captioner.device)
    call["keep_attention"] = options.attention
    if options.prefix is not None:
        note_unknown(captioner.language, [options.prefix], "--prefix")
    damaged = 0
    for first in range(0, len(paths), options.batch_size):
        inputs, readable, problems = captioner.read(paths[first : first + options.batch_size])
        damaged += len(problems)
        for _, problem in problems:
            warn(printable(f"skipped: {problem}"))
        if not readable:
            continue
        best = captioner.describe(inputs, search, prefix=options.prefix, **call)
        for place, captions in zip(readable, best, strict=True):
            path = paths[first + place]
            print(_line(path, captions, options), flush=True)
            yield path, captions[0]
    if damaged == len(paths):
        raise UserError("none of the pictures could be read.")


def logprob(options: LogprobOptions) -> None:
    """Print how likely a run finds the captions of a file, line by line."""
    captioner = Captioner.from_run(
        options.run, *options.ensemble, device=options.device, features=options.features
    )
    lines = numbered_lines(options.captions)

    def scored() -> Iterator[list[Likelihood]]:
        while chunk := list(islice(lines, options.batch_size)):
            rows = [line.split("\t") for _, line in chunk]
            for (number, _), row in zip(chunk, rows, strict=True):
                if len(row) < 2:
                    raise UserError(f"{options.captions}:{number}: no picture, tab and caption.")
            pictures, captions = [row[0] for row in rows], [row[-1] for row in rows]
            yield captioner.score(pictures, captions, batch_size=options.batch_size)

    print_likelihoods(scored())


def _line(path: Path, captions: list[Sentence], options: CaptionOptions) -> str:
    if options.json:
        content = {"image": str(path), "captions": [each.to_dict() for each in captions]}
        # What another encoding lacks must be an escape of JSON.
        unicode = (sys.stdout.encoding or "").lower() in ("utf-8", "utf8")
        return printable(json.dumps(content, ensure_ascii=not unicode))
    if len(captions) == 1:
        return printable(f"{path}\t{captions[0].text}")
    return "\n".join(printable(f"{path}\t{each.score:.3f}\t{each.text}") for each in captions)
