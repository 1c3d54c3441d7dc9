"""Honest scores of a captioner: it writes, and what it wrote is compared with what people wrote."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from captioning.captioner import Captioner, Picture
from captioning.data import CaptionedImage
from common.decoding.search import Search
from common.errors import UserError
from common.evaluation.captions import score_captions
from common.evaluation.pictures import attention_overlay, stacked
from common.evaluation.subject import Subject
from common.files import atomic_write, write_json
from common.models.writer import Call, Sentence
from common.synthetic.scenes import Scene, true_fraction


@dataclass(frozen=True)
class Evaluation:
    """What a captioner wrote for some images, and how good it is.

    Args:
        metrics: bleu1 to bleu4, rouge_l and cider_d by the COCO caption code's rules (shares of 1;
            CIDEr-D on its own scale), true_captions where the images are generated scenes,
            tokens (mean length of a caption in words) and seconds.
        captions: image id -> its captions, best first.
    """

    metrics: dict[str, float]
    captions: dict[str, list[Sentence]]


def evaluate(
    captioner: Captioner,
    images: Sequence[CaptionedImage],
    inputs: Callable[[np.ndarray], Tensor],
    *,
    batch_size: int = 64,
    description: str = "captions",
    search: Search | None = None,
    **call: Unpack[Call],
) -> Evaluation:
    """Caption every image by search and score the captions against the references.

    Args:
        captioner: the model, which never sees the references.
        images: with their reference captions.
        inputs: from positions in `images` to the encoder's input of those images.
        batch_size: images described at a time.
        description: what the progress bar says.
        search: the strategy; that of the captioner by default.
        call: precision, generator, ...; see `common.models.writer.Call`.
    """
    start = time.perf_counter()
    captions: dict[str, list[Sentence]] = {}
    with tqdm(
        total=len(images), desc=description, unit=" images", leave=False, disable=None
    ) as bar:
        for first in range(0, len(images), batch_size):
            rows = np.arange(first, min(first + batch_size, len(images)))
            described = captioner.describe(inputs(rows), search, **call)
            captions |= {images[first + place].id: best for place, best in enumerate(described)}
            bar.update(len(rows))
    seconds = time.perf_counter() - start

    texts = {name: best[0].text for name, best in captions.items()}
    metrics = score_captions(texts, {image.id: image.captions for image in images})
    if scenes := generated_scenes(images):
        metrics["true_captions"] = true_fraction({name: texts[name] for name in scenes}, scenes)
    metrics["tokens"] = float(np.mean([len(best[0].tokens) for best in captions.values()]))
    metrics["seconds"] = seconds
    return Evaluation(metrics, captions)


def generated_scenes(images: Sequence[CaptionedImage]) -> dict[str, Scene]:
    """The scenes that images were drawn from, by image id; photographs have none.

    Raises:
        UserError: what is said of an image begins like a scene, and is none.
    """
    scenes = {}
    for image in images:
        if image.facts is not None and "shapes" in image.facts:
            try:
                scenes[image.id] = Scene.from_dict(image.facts)
            except ValueError as error:
                raise UserError(
                    f"{image.path}: its scene is damaged ({error}). Make the data set again."
                ) from None
    return scenes


def write_evaluation(
    folder: Path,
    subject: Subject,
    evaluation: Evaluation,
    images: Sequence[CaptionedImage],
) -> None:
    """Write `evaluation-NAME.json` (metrics, and of what: data, ensemble, search) and
    `captions-NAME.jsonl` (a line an image)."""
    write_json(folder / f"evaluation-{subject.name}.json", evaluation.metrics | subject.said())
    with atomic_write(folder / f"captions-{subject.name}.jsonl") as file:
        for image in images:
            best = evaluation.captions[image.id][0]
            line = {
                "image": image.id,
                "caption": best.text,
                "score": best.score,
                "references": image.captions,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def attention_sheet(
    captioner: Captioner, pictures: Sequence[tuple[Picture, Sequence[str]]]
) -> Image.Image:
    """Pictures with where the model looked while it wrote each word of their captions.

    Args:
        captioner: a model with attention.
        pictures: images, each with the words of its caption.

    Raises:
        UserError: the model has no attention.
    """
    overlays = []
    for picture, words in pictures:
        weights = captioner.attention(picture, words)
        if weights is None:
            raise UserError("this captioner has no attention to show: it was trained without.")
        seen = captioner.transform.fitted(picture)
        side = math.isqrt(weights.shape[1])
        overlays.append(attention_overlay(seen, [*words, "."], weights, grid=(side, side)))
    return stacked(overlays)
