"""Scores of a captioner: what it writes by a search, compared with the reference captions."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
from PIL import Image
from torch import Tensor

from captioning.captioner import Captioner
from captioning.data import CaptionedImage
from captioning.images import ImageError
from captioning.score import generated_scenes, score_texts
from common.decoding.search import Search
from common.evaluation.heat_map import heat_map
from common.evaluation.lettering import GREY
from common.evaluation.overlay import attention_overlay
from common.evaluation.sheet import Cell, contact_sheet, grid_for
from common.models.sentence import Sentence
from common.models.writer import Call
from common.progress import Bar
from common.text.tokenizer import WhitespaceTokenizer
from common.training.task import Evaluation
from common.training.tracking import Tracker

MOST_ATTENTION = 4  # images whose attention is shown
WIDE, LETTERS = 640, 18  # pixels, of the sheet of captions: TensorBoard shows it in half its size

# The metrics that TensorBoard shows together, by the title of their chart; see `writing_task`.
SCORES = {
    "CIDEr-D": ("cider_d",), "BLEU-1 to BLEU-4": ("bleu1", "bleu2", "bleu3", "bleu4"),
    "ROUGE-L": ("rouge_l",),
}  # fmt: skip


def evaluate(
    captioner: Captioner,
    images: Sequence[CaptionedImage],
    inputs: Callable[[np.ndarray], tuple[Tensor, ...]],
    *,
    batch_size: int = 64,
    shown: int = 0,
    search: Search | None = None,
    **call: Unpack[Call],
) -> Evaluation:
    """Caption every image by search and score the captions against the references.

    The metrics are bleu1 to bleu4, rouge_l and cider_d by the COCO caption code's rules (fractions of
    1; CIDEr-D on its own scale), whose signatures say over what (see `caption_words`), true_captions
    where the images are generated scenes, tokens (mean length of a caption) and seconds; of images
    without references, the last two alone. The outputs are the captions: image id -> best first.

    Args:
        captioner: the model, which never sees the references.
        images: with their reference captions; or none has any.
        inputs: from positions in `images` to what the encoder is called with for those images.
        batch_size: images described at a time.
        shown: of the first so many images, keep where the model looked (`Sentence.attention`), and
            draw a sheet with their captions.
        search: the strategy; that of the captioner by default.
        call: precision, generator, ...; see `common.models.writer.Call`.
    """
    start = time.perf_counter()
    captions: dict[str, list[Sentence]] = {}
    with Bar("captions", len(images), "images") as bar:
        for first in range(0, len(images), batch_size):
            rows = np.arange(first, min(first + batch_size, len(images)))
            call["keep_attention"] = first < shown
            described = captioner.describe(inputs(rows), search, **call)
            captions |= {images[first + place].id: best for place, best in enumerate(described)}
            bar.advance(len(rows))
    seconds = time.perf_counter() - start

    metrics: dict[str, float] = {}
    signatures: dict[str, str] = {}
    notes = []
    if any(image.captions for image in images):
        texts = {name: best[0].text for name, best in captions.items()}
        tokens = isinstance(captioner.language.tokenizer, WhitespaceTokenizer)
        metrics, signatures = score_texts(texts, images, tokens=tokens)
    else:
        notes = ["no scores: these images have no reference captions"]
    metrics["tokens"] = float(np.mean([len(best[0].tokens) for best in captions.values()]))
    metrics["seconds"] = seconds
    files: dict[str, str | bytes | Image.Image] = {
        "captions.jsonl": _lines(images, captions), "results.json": coco_results(images, captions),
    }  # fmt: skip
    if few := images[:shown]:
        cells = captioned(captioner, few, [captions[image.id][0] for image in few])
        files["captions.png"] = _sheet(cells)
    return Evaluation(
        metrics, signatures, files=files, notes=notes,
        recorded=captioner.recorded(search, call), outputs=captions,
    )  # fmt: skip


def _lines(images: Sequence[CaptionedImage], captions: Mapping[str, Sequence[Sentence]]) -> str:
    """A line of JSON for each image."""
    lines = []
    for image in images:
        best = captions[image.id][0]
        line = {"image": image.id, "caption": best.text, "score": best.score}
        lines.append(json.dumps(line | {"references": image.captions}, ensure_ascii=False) + "\n")
    return "".join(lines)


def coco_results(
    images: Sequence[CaptionedImage], captions: Mapping[str, Sequence[Sentence]]
) -> str:
    """The captions as COCO's evaluation code and server take them: `[{"image_id", "caption"}]`.

    An image's id is its official one, a number where the data set has a number; without one, its name.
    """
    results = []
    for image in images:
        official = (image.facts or {}).get("image_id", image.id)
        results.append({"image_id": official, "caption": captions[image.id][0].text})
    return json.dumps(results, ensure_ascii=False) + "\n"


def show_captions(
    tracker: Tracker,
    captioner: Captioner,
    images: Sequence[CaptionedImage],
    captions: Mapping[str, Sequence[Sentence]],
) -> None:
    """Show some images in TensorBoard with their best captions, and where the model looked.

    Args:
        tracker: where to.
        captioner: it wrote the captions.
        images: those to show; a handful.
        captions: by image id, best first; those of other images are passed over.
    """
    if not images:
        return
    best = [captions[image.id][0] for image in images]
    cells = captioned(captioner, images, best)
    tracker.images("captions", _sheet(cells))
    tracker.table(
        "captions",
        ("image", "caption", "log-probability", "reference"),
        [
            (image.id, caption.text, f"{caption.log_probability:.1f}", image.captions[0])
            for image, caption in zip(images, best, strict=True)
        ],
    )
    for number, (cell, caption) in enumerate(zip(cells[:MOST_ATTENTION], best, strict=False)):
        if caption.attention is not None:
            picture = overlaid(cell.picture, caption, reference=cell.reference, true=cell.true)
            tracker.images(f"with attention/{number}", picture)


def captioned(
    captioner: Captioner, images: Sequence[CaptionedImage], captions: Sequence[Sentence]
) -> list[Cell]:
    """Images as the encoder sees them, each with its caption, and whether it is true where that is
    known: of generated scenes. One that cannot be read, as features stand for it, is grey."""
    scenes = generated_scenes(images)
    return [
        Cell(
            _seen(captioner, image.path), caption.text, next(iter(image.captions), ""),
            scenes[image.id].is_true(caption.text) if image.id in scenes else None,
        )
        for image, caption in zip(images, captions, strict=True)
    ]  # fmt: skip


def _seen(captioner: Captioner, path: Path) -> Image.Image:
    try:
        return captioner.transform.fitted(path)
    except ImageError:
        return Image.new("RGB", (captioner.transform.size,) * 2, GREY)


def _sheet(cells: Sequence[Cell]) -> Image.Image:
    grid = grid_for(len(cells), WIDE)
    return contact_sheet(cells, size=max(LETTERS, grid["tile"] // 16), **grid)


def overlaid(
    picture: Image.Image,
    caption: Sentence,
    *,
    grid: tuple[int, int] | None = None,
    regions: slice = slice(None),
    reference: str = "",
    true: bool | None = None,
) -> Image.Image:
    """A picture with where the model looked while it wrote each word of its caption.

    Where the regions have no grid, as boxes have none, a table of weights stands for the picture.

    Args:
        picture: as the encoder sees it; see `ImageTransform.fitted`.
        caption: with its attention.
        grid: (rows, columns) of the regions; None: a square, if their number is one.
        regions: which positions of the memory are regions of the picture: slice(1, None) after a
            token for all of it.
        reference: what a person wrote of it; it is shown unless the caption is true.
        true: whether the caption is true of the picture; None where that is not known.

    Raises:
        ValueError: the caption has no attention.
    """
    weights = caption.attention
    if weights is None:
        raise ValueError("the caption has no attention: it was written without keep_attention")
    heading = {"caption": caption.text}
    if reference and not true:
        heading["reference"] = reference
    words = [*caption.tokens, "."][: len(weights)]
    count = weights[:, regions].shape[1]
    side = math.isqrt(count)
    if grid is None and side * side != count:
        numbers = [str(number + 1) for number in range(weights.shape[1])]
        return heat_map(weights, words, numbers, heading=heading)
    return attention_overlay(
        picture, words, weights, grid or (side, side),
        regions=regions, heading=heading, true=true,
    )  # fmt: skip
