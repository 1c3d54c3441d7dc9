"""Damaged and hostile files, seeded: a reader takes them, or a `UserError` names the file; nothing else.

The readers are called below the command line, which would catch more.
"""

from __future__ import annotations

import copy
import io
import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from captioning.images import open_image
from captioning.networks import _state_dict
from captioning.options import TrainOptions
from common.cli.command_line import read_config
from common.config.plain import plain
from common.data.reading import numbered_lines
from common.errors import UserError, printable
from common.files import read_json
from common.synthetic.scenes import Scene, generate
from common.text.embeddings import read_embeddings
from common.text.labels import Labels
from common.text.subword import SubwordTokenizer
from common.text.tokenizer import WordTokenizer, tokenizer_from_dict
from common.text.vocabulary import Vocabulary

ODD: list[Any] = [
    None, True, -1, 0, 2**63, 10**30, 10**400, 1e308, float("inf"), float("nan"), "", "\0", "\ud800",
    "\x1b[2J", "x" * 9999, [], {}, [[[[]]]], {"a": {"b": {}}},
]  # fmt: skip
INSERTED = (
    b"\0" * 9,
    b"\xff\xfe",
    b"\x1b[2J",
    b"9" * 5000,
    b"[" * 99_999,
    b"\xed\xa0\x80",
    b"1e999",
)

VOCABULARY = Vocabulary(["a", "b", "the"])
SUBWORDS = SubwordTokenizer.train(["the cat sat on the mat", "a dog ran"] * 10, 40).to_dict()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value[:20])
    found = [(*path, key) for key, _ in inside]
    for key in [each[-1] for each in found]:
        if isinstance(value[key], (dict, list)):
            found += places(value[key], (*path, key))
    return found


def changed_json(value: Any, rng: random.Random) -> bytes:
    """The JSON with another value, or none, in one place."""
    value = copy.deepcopy(value)
    *above, last = rng.choice(places(value))
    there = value
    for key in above:
        there = there[key]
    if rng.random() < 0.8:
        there[last] = copy.deepcopy(rng.choice(ODD))
    else:
        del there[last]
    return json.dumps(value).encode()


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """The bytes with some flipped, cut off, inserted or lost."""
    found, at = bytearray(data), rng.randrange(len(data))
    match rng.randrange(4):
        case 0:
            for _ in range(rng.choice((1, 3, 20))):
                found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
        case 1:
            del found[at:]
        case 2:
            found[at:at] = rng.choice(INSERTED)
        case 3:
            del found[at : at + rng.randrange(20)]
    return bytes(found)


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((16, 16), 90).convert("RGB").save(file, kind)
    return file.getvalue()


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def load_vocabulary(path: Path) -> None:
    vocabulary = Vocabulary.load(path)
    torch.tensor(vocabulary.counts)
    "".join(vocabulary).encode()


def load_tokenizer(path: Path) -> None:
    tokenizer = tokenizer_from_dict(read_json(path), str(path))
    tokenizer.decode(tokenizer.encode("The cat sät 나 \0"))


def load_scene(path: Path) -> None:
    values = read_json(path)
    try:
        for shape in Scene.from_dict(values).shapes:
            shape.outline()
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def load_vectors(path: Path) -> None:
    vectors, _ = read_embeddings(path, VOCABULARY)
    assert vectors.isfinite().all()


OPTIONS = plain(TrainOptions(data=Path("data"), run_dir=Path("run")))
STORED = {"tokens": list(VOCABULARY.tokens), "counts": list(VOCABULARY.counts)}
TEXT = b"5 3\nthe 1 2 3\na 1 2 3\nb .1 -2e3 3\n. . 1 2 3\ndog 1 2 3\n"
# By name: what is valid, and its reader.
READERS: dict[str, tuple[Any, Callable[[Path], Any]]] = {
    "vocabulary": ({"format": "unroll.vocabulary", "version": 1, **STORED}, load_vocabulary),
    "labels": (["A", "B", "C"], Labels.load),
    "words": (WordTokenizer().to_dict(), load_tokenizer),
    "subwords": (SUBWORDS, load_tokenizer),
    "scene": (generate(0, 0).to_dict(), load_scene),
    "config": (OPTIONS, lambda path: read_config(str(path), TrainOptions)),
    "text": (TEXT, lambda path: list(numbered_lines(path))),
    "vectors": (TEXT, load_vectors),
    "png": (encoded("png"), open_image),
    "jpeg": (encoded("jpeg"), open_image),
    "tiff": (encoded("tiff"), open_image),
    "weights": (saved({"a": torch.ones(3), "b": torch.ones(2, 2)}), _state_dict),
}


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_by_its_name(tmp_path: Path, name: str) -> None:
    valid, read = READERS[name]
    rng, path = random.Random(name), tmp_path / name
    for _ in range(30):
        if isinstance(valid, bytes):
            path.write_bytes(changed_bytes(valid, rng))
        else:
            data = changed_json(valid, rng)
            path.write_bytes(data if rng.random() < 0.7 else changed_bytes(data, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read(path)
            except UserError as error:
                assert str(path) in str(error) and "\n" not in printable(str(error))
