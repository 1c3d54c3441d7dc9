"""Images of a data set, found by whatever a file of captions calls them."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Mapping, Sequence

from captioning.data import CaptionedImage
from captioning.predictions import Key, Prediction, some
from common.errors import UserError

_DEEPEST = 20  # folders by which images of one name are told apart


class NamedImages:
    """The images of a data set, found by whatever a file calls them.

    Args:
        splits: the images of each split.
    """

    def __init__(self, splits: Mapping[str, Sequence[CaptionedImage]]) -> None:
        self.split = {image.id: name for name, images in splits.items() for image in images}
        self._official: dict[str, set[str]] = {}
        self._ids: dict[str, set[str]] = {}
        self._tails: dict[str, set[str]] = {}  # val/1.jpg as val/1.jpg and 1.jpg
        self._stems: dict[str, set[str]] = {}  # val/1 and 1
        self._numbers: dict[int, set[str]] = {}  # COCO_val2014_000000000042.jpg as 42
        for image in (image for images in splits.values() for image in images):
            if image.facts is not None and "image_id" in image.facts:
                official = str(image.facts["image_id"])
                self._official.setdefault(official, set()).add(image.id)
            name = _plain(image.id)
            self._ids.setdefault(name, set()).add(image.id)
            for tail in _tails(name):
                self._tails.setdefault(tail, set()).add(image.id)
                self._stems.setdefault(_stem(tail), set()).add(image.id)
            if match := re.search(
                r"(?:^|[_-])0*(\d{1,15})$", posixpath.splitext(_tails(name)[-1])[0]
            ):
                self._numbers.setdefault(int(match[1]), set()).add(image.id)

    def find(self, key: Key, split: str) -> set[str]:
        """The ids of the images that a key may mean; of a split, if there is one in it."""
        name = _plain(str(key))
        tails = _tails(name)
        number = re.fullmatch(r"0*(\d{1,15})", name)
        places = [self._official.get(name), self._ids.get(name), *map(self._tails.get, tails)]
        places += [self._stems.get(_stem(tail, whole)) for tail in tails for whole in (True, False)]
        places += [self._numbers.get(int(number[1]))] if number else []
        found = next(filter(None, places), set())
        return {each for each in found if self.split[each] == split} or found


def _plain(name: str) -> str:
    return posixpath.normpath(unicodedata.normalize("NFC", name.strip()).replace("\\", "/"))


def _tails(name: str) -> list[str]:
    """A path without its first folders, the longest first; of a deep one, the last parts."""
    parts = name.split("/")[-_DEEPEST:]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _stem(name: str, whole: bool = False) -> str:
    """A name without its ending, unless it has none, in one case."""
    return (name if whole else posixpath.splitext(name)[0]).casefold()


def matched(
    predictions: Sequence[Prediction],
    splits: Mapping[str, Sequence[CaptionedImage]],
    split: str,
    source: str,
    *,
    subset: bool = False,
) -> dict[str, str]:
    """The caption of each image of a split, by its id, in the order of the file.

    Args:
        predictions: in any order.
        splits: the images of each split of the data.
        split: the one that is scored.
        source: the file, for messages.
        subset: accept captions of some of the images.

    Raises:
        UserError: an image is unknown, of another split, has two captions or, unless a subset is
            accepted, none.
    """
    names = NamedImages(splits)
    wrong: dict[str, list[Key]] = {}
    captions: dict[str, str] = {}
    for key, caption in predictions:
        found = names.find(key, split)
        image = next(iter(found), "")
        if not found:
            wrong.setdefault("that the data set does not have", []).append(key)
        elif len(found) > 1:
            wrong.setdefault("whose name could be of several images", []).append(key)
        elif names.split[image] != split:
            wrong.setdefault(f"of the split {names.split[image]}, not {split}", []).append(key)
        elif image in captions:
            wrong.setdefault("with more than one caption", []).append(key)
        else:
            captions[image] = caption
    problems = [f"{some(keys, 'image')} {what}" for what, keys in wrong.items()]
    missing = [image.id for image in splits[split] if image.id not in captions]
    if missing and not subset:
        problems.append(f"{some(missing, 'image')} of {split} without a caption")
    if not problems:
        return captions
    advice = " To score the images that have captions alone: --subset." if missing else ""
    raise UserError(f"{source}: {'; '.join(problems)}.{'' if subset or wrong else advice}")
