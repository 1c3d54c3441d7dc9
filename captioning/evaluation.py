"""Scores of a captioner: what it writes by a search, compared with the reference captions."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

import numpy as np
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from captioning.captioner import Captioner
from captioning.data import CaptionedImage
from captioning.score import score_texts
from common.decoding.search import Search
from common.evaluation.pictures import attention_overlay, contact_sheet, heat_map
from common.models.writer import Call, Sentence
from common.text.tokenizer import WhitespaceTokenizer
from common.training.task import Evaluation
from common.training.tracking import Tracker

MOST_ATTENTION = 4  # images whose attention is shown


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
        shown: of the first so many images, keep where the model looked (`Sentence.attention`).
        search: the strategy; that of the captioner by default.
        call: precision, generator, ...; see `common.models.writer.Call`.
    """
    start = time.perf_counter()
    captions: dict[str, list[Sentence]] = {}
    with tqdm(total=len(images), desc="captions", unit=" images", leave=False, disable=None) as bar:
        for first in range(0, len(images), batch_size):
            rows = np.arange(first, min(first + batch_size, len(images)))
            call["keep_attention"] = first < shown
            described = captioner.describe(inputs(rows), search, **call)
            captions |= {images[first + place].id: best for place, best in enumerate(described)}
            bar.update(len(rows))
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
    files = {
        "captions.jsonl": _lines(images, captions), "results.json": coco_results(images, captions),
    }  # fmt: skip
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
    seen = [captioner.transform.fitted(image.path) for image in images]
    tracker.images("captions", contact_sheet(seen, [caption.text for caption in best]))
    tracker.table(
        "captions",
        ("image", "caption", "log-probability", "reference"),
        [
            (image.id, caption.text, f"{caption.log_probability:.1f}", image.captions[0])
            for image, caption in zip(images, best, strict=True)
        ],
    )
    for image, picture, caption in list(zip(images, seen, best, strict=True))[:MOST_ATTENTION]:
        if caption.attention is not None:
            tracker.images(f"attention/{image.id}", overlaid(picture, caption))


def overlaid(
    picture: Image.Image,
    caption: Sentence,
    *,
    grid: tuple[int, int] | None = None,
    regions: slice = slice(None),
) -> Image.Image:
    """A picture with where the model looked while it wrote each word of its caption.

    Where the regions have no grid, as boxes have none, a table of weights stands for the picture.

    Args:
        picture: as the encoder sees it; see `ImageTransform.fitted`.
        caption: with its attention.
        grid: (rows, columns) of the regions; None: a square, if their number is one.
        regions: which positions of the memory are regions of the picture: slice(1, None) after a
            token for all of it.

    Raises:
        ValueError: the caption has no attention.
    """
    weights = caption.attention
    if weights is None:
        raise ValueError("the caption has no attention: it was written without keep_attention")
    words = [*caption.tokens, "."][: len(weights)]
    count = weights[:, regions].shape[1]
    side = math.isqrt(count)
    if grid is None and side * side != count:
        return heat_map(weights, words, [str(number + 1) for number in range(weights.shape[1])])
    return attention_overlay(picture, words, weights, grid or (side, side), regions=regions)
