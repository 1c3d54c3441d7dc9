"""Whatever stands in the files of a run or a cache, their readers read it or refuse it in one line.

A bounded, seeded fuzzing below the command line, whose last resort would hide what is not thought of.
"""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from captioning.features import FeatureFolder
from captioning.options import TrainOptions as CaptionerOptions
from common.config.plain import plain
from common.data.corpus import Corpus, write_corpus
from common.errors import UserError
from common.runs.run import Run
from common.training.checkpoint import Checkpoint
from common.training.distributed import World
from common.training.progress import Progress
from seq2seq.options import TrainOptions as TranslatorOptions

HUGE = (2**31, 10**11, 10**30, 10**400, 1e30, float("nan"), float("inf"))
ODD: tuple[Any, ...] = (None, True, -1, 0, "", "x", "\ud800", "\x1b[2J", [], {}, [[1]], *HUGE)


def places(value: Any, place: tuple = ()) -> list[tuple]:
    """Where something stands in a nested value."""
    if isinstance(value, dict):
        inside = list(value.items())
    else:
        inside = list(enumerate(value)) if isinstance(value, (list, tuple)) else []
    return [place, *(deeper for key, each in inside for deeper in places(each, (*place, key)))]


def changed(value: Any, place: tuple, new: Any) -> Any:
    """A nested value with another one at a place."""
    if not place:
        return new
    if isinstance(value, dict):
        return {**value, place[0]: changed(value[place[0]], place[1:], new)}
    parts = list(value)
    parts[place[0]] = changed(parts[place[0]], place[1:], new)
    return type(value)(parts)


def of_another_type(value: Any, chance: random.Random, odd: tuple = ODD) -> Any:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    return changed(value, chance.choice(places(value)), chance.choice((*odd, deep)))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """With flipped bits, cut off, or with something put in."""
    result = bytearray(data)
    place = chance.randrange(len(data))
    kind = chance.randrange(3)
    if kind == 0:
        result[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del result[place:]
    else:
        result[place:place] = chance.randbytes(chance.randrange(1, 40))
    return bytes(result)


def replaced(path: Path, chance: random.Random) -> None:
    """By something that is no file."""
    path.unlink()
    if chance.randrange(2):
        os.mkfifo(path)
    else:
        path.symlink_to(chance.choice(("/dev/zero", "/nowhere", "/etc/hostname")))


def model() -> nn.Module:
    return nn.GRU(3, 4)


class ConfigFile:
    OPTIONS: type[Any] = TranslatorOptions

    def __init__(self, folder: Path) -> None:
        Run.create(folder, "x", self.OPTIONS(data="data", run_dir=folder))
        self.path = folder / "config.json"

    def read(self) -> None:
        run = Run.open(self.path.parent, "x")
        plain(run.read_config(self.OPTIONS))

    def change(self, chance: random.Random) -> None:
        value = json.loads(self.path.read_text())
        value["config"] = of_another_type(value["config"], chance)
        self.path.write_text(json.dumps(value))


class CaptionersConfigFile(ConfigFile):
    OPTIONS = CaptionerOptions


class WeightsFile:
    def __init__(self, folder: Path) -> None:
        self.run = Run.create(folder, "x", {})
        self.run.save_model(model())
        self.path = folder / "model.safetensors"

    def read(self) -> None:
        self.run.load_model(self.run.build_model(model))

    def change(self, chance: random.Random) -> None:
        """Its header, and no checksum, as in a file that somebody made."""
        data = self.path.read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        del header["__metadata__"]["checksum"]
        if chance.randrange(2):
            header["__metadata__"]["tied"] = json.dumps(
                chance.choice([*ODD, {"a": [1]}, {"a": "b"}])
            )
        else:
            header = of_another_type(header, chance)
        text = json.dumps(header).encode()
        self.path.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])


class StateFile:
    def __init__(self, folder: Path) -> None:
        self.run = Run.create(folder, "x", {})
        self.checkpoint().save()
        self.path = folder / "training.pt"

    def checkpoint(self) -> Checkpoint:
        learner = model()
        optimizer = torch.optim.AdamW(learner.parameters())
        learner(torch.ones(2, 3))[0].sum().backward()
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        parts = {"model": learner, "optimizer": optimizer, "scheduler": scheduler}
        optimizer.step()
        return Checkpoint(self.run, Progress(), parts, world=World(), say=lambda line: None)

    def read(self) -> None:
        """And go on: what was read is what training computes with."""
        checkpoint = self.checkpoint()
        checkpoint.restore()
        checkpoint.parts["optimizer"].step()
        checkpoint.parts["scheduler"].step()
        checkpoint.is_due()

    def change(self, chance: random.Random) -> None:
        state = torch.load(self.path, weights_only=True)
        name = chance.choice([each for each in state if each != "generators"])
        odd = (*ODD, torch.zeros(7), torch.zeros(4, 3).to_sparse(), torch.empty(12, device="meta"))
        torch.save(changed(state, (name,), of_another_type(state[name], chance, odd)), self.path)


class CorpusFile:
    def __init__(self, folder: Path) -> None:
        write_corpus(folder / "text", [[4, 5, 6], [], [7, 8]], 9)
        self.path = self.ids = folder / "text.ids.npy"

    def read(self) -> None:
        corpus = Corpus(self.ids.with_name("text"), 9)
        assert corpus.counts(9).sum() == corpus.tokens
        corpus.padded(range(len(corpus)))

    def change(self, chance: random.Random) -> None:
        values = np.load(self.path)
        values = values.astype(chance.choice(["f4", "i1", "i8", "c8", "S3", "m8[s]", "?"]))
        if chance.randrange(2):
            values = np.load(self.path)
            values[chance.randrange(len(values))] = 60_000
        np.save(self.path, chance.choice([values, values[None], values[:-1]]))


class FeaturesFile:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "features.npy"
        np.save(self.path, np.ones((2, 3, 5), np.float32))
        (folder / "names.txt").write_text("a\nb\n")

    def read(self) -> None:
        features = FeatureFolder(self.path.parent)
        features.read(features.find(["a", "b"])[1])

    def change(self, chance: random.Random) -> None:
        file = io.BytesIO()
        kind = chance.randrange(3)
        if kind == 0:
            np.savez(file, features=np.ones((2, 3)))
        elif kind == 1:
            np.save(file, np.array([{}, {}], object), allow_pickle=True)
        else:
            shape = chance.choice([(2**62, 2), (2, 2**40, 3), (-1, 3), (2,), ()])
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        self.path.write_bytes(file.getvalue())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "kind", [ConfigFile, CaptionersConfigFile, WeightsFile, StateFile, CorpusFile, FeaturesFile]
)
def test_a_reader_reads_or_refuses(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    file, chance = kind(tmp_path), random.Random(0)
    file.read()
    whole, refused = file.path.read_bytes(), 0
    for number in range(100):
        file.path.unlink(missing_ok=True)
        file.path.write_bytes(whole)
        if number % 10 == 9:
            replaced(file.path, chance)
        elif number % 2:
            file.path.write_bytes(damaged(whole, chance))
        else:
            file.change(chance)
        try:
            file.read()
        except UserError as error:
            message, refused = str(error), refused + 1
            assert str(file.path.parent) in message and "\n" not in message
    assert refused > 50
