"""Scoring captions, whoever wrote them, by the references of a data set alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from captioning.data import CaptionedImage, load
from captioning.matching import matched
from captioning.options import ScoreOptions
from captioning.predictions import read_predictions
from common.cli.scores import check_items, give_scores
from common.data.encodings import text_encoding
from common.errors import UserError
from common.evaluation.captions import caption_words, score_captions, score_each
from common.models.load_options import LoadOptions
from common.synthetic.scenes import Scene, true_fraction


def score(options: ScoreOptions) -> None:
    """Print the scores of a file of captions; see `ScoreOptions`."""
    check_items(options.items, [options.captions])
    with text_encoding(options.encoding):
        predictions = read_predictions(options.captions)
    how = LoadOptions(val_fraction=options.val_fraction, encoding=options.encoding).how_to_load()
    data = load(
        options.data, options.format, max_problems=options.max_problems, names_only=True, **how
    )
    if options.val_fraction == 0:
        data.validate_on_training()
    data.report()
    images = data.captioned(options.split)
    captions = matched(
        predictions, data.splits, options.split, options.captions, subset=options.subset
    )
    scored = [image for image in images if image.id in captions]
    notes = []
    if len(scored) < len(images):
        notes.append(
            f"of {len(scored):,} of the {len(images):,} images of {options.split}: CIDEr-D weighs "
            "words by their captions alone"
        )
    metrics, signatures = score_texts(captions, scored, tokens=options.tokens)
    items = []
    if options.items is not None:
        references = {image.id: image.captions for image in scored}
        tokenize, _ = caption_words(chain.from_iterable(references.values()), tokens=options.tokens)
        each = score_each(captions, references, tokenize)
        items = [{"image": name, "caption": captions[name], **each[name]} for name in captions]
    give_scores(options, metrics, signatures, notes, items)


def score_texts(
    texts: Mapping[str, str], images: Sequence[CaptionedImage], *, tokens: bool = False
) -> tuple[dict[str, float], dict[str, str]]:
    """The scores of captions by the references of their images, and the signatures of the scores.

    Args:
        texts: image id -> caption.
        images: those, with their references.
        tokens: whether captions are tokens already, with blanks between them.

    Returns:
        bleu1 to bleu4, rouge_l and cider_d by the COCO caption code's rules, whose signatures say over
        what (see `caption_words`), and true_captions where the images are generated scenes.

    Raises:
        UserError: a scene is damaged.
    """
    references = {image.id: image.captions for image in images}
    tokenize, what = caption_words(chain.from_iterable(references.values()), tokens=tokens)
    metrics = score_captions(texts, references, tokenize)
    signatures = dict.fromkeys(metrics, what)
    if scenes := generated_scenes(images):
        metrics["true_captions"] = true_fraction({name: texts[name] for name in scenes}, scenes)
    return metrics, signatures


def generated_scenes(images: Sequence[CaptionedImage]) -> dict[str, Scene]:
    """The scenes that images were drawn from, by image id; photographs have none.

    Raises:
        UserError: the facts of an image begin like a scene, and are none.
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
