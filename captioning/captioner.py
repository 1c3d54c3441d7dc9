"""Image in, sentence out: the trained captioner as a user of it sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import torch
from PIL import Image
from torch import Tensor, nn

from captioning.building import build_model, make_transform
from captioning.encoder import ImageEncoder
from captioning.options import KIND, TrainOptions
from captioning.transform import ImageTransform
from common.compute import Precision
from common.compute.device import upload
from common.config.plain import from_dict
from common.decoding.search import BeamSearch, Search
from common.models.encoder_decoder import EncoderDecoder
from common.models.ensemble import EnsembleModel
from common.models.writer import IN_CODE, Call, Sentence, Writer, search_of
from common.runs.run import Run
from common.text.language import Language

Picture = str | os.PathLike[str] | Image.Image


class Captioner(Writer):
    """Describes pictures.

        captioner.caption(["dog.jpg"])
        captioner.captions(["dog.jpg"], Sampling(num_samples=3, temperature=0.8))

    Args:
        model: an encoder of images and a decoder, or an ensemble.
        transform: the one transform from a picture to the encoder's input.
        language: the tokens of the decoder.
        search: the strategy where a call does not name one.
        precision: arithmetic of the search where a call does not say otherwise.
    """

    KIND = KIND
    ALIKE = ("encoder.image_size", "encoder.fit")

    def __init__(
        self,
        model: EncoderDecoder | EnsembleModel,
        transform: ImageTransform,
        language: Language,
        search: Search = BeamSearch(beam_size=5, max_length=40),
        precision: Precision = "fp32",
    ) -> None:
        super().__init__(model, language, search, precision)
        self.transform = transform

    @classmethod
    def _of_run(cls, run: Run, model: nn.Module | None) -> Captioner:
        language = Language.load(run.existing)
        if run.config.get(IN_CODE):
            where = str(run.path / "config.json")
            transform = from_dict(ImageTransform, run.config.get("transform"), where)
        else:
            options = run.read_config(TrainOptions)
            transform = make_transform(options.encoder)
            model = model or build_model(options, language.vocabulary, weights="none")
        return cls(model, transform, language, *search_of(run))  # type: ignore[arg-type]

    def _settings(self) -> dict[str, Any]:
        return {"transform": asdict(self.transform)}

    def _files(self) -> Iterable[tuple[str, Callable[[Path], None]]]:
        return self.language.files()

    @property
    def encoders(self) -> list[ImageEncoder]:
        """The encoder of the model; of an ensemble, those of its members."""
        members = self.model.models if isinstance(self.model, EnsembleModel) else [self.model]
        return [m.encoder for m in members if isinstance(m.encoder, ImageEncoder)]

    def caption(
        self,
        images: Sequence[Picture],
        search: Search | None = None,
        *,
        batch_size: int = 32,
        **call: Unpack[Call],
    ) -> list[str]:
        """The best caption of each image; arguments as in `captions`."""
        found = self.captions(images, search, batch_size=batch_size, **call)
        return [best[0].text for best in found]

    def captions(
        self,
        images: Sequence[Picture],
        search: Search | None = None,
        *,
        batch_size: int = 32,
        **call: Unpack[Call],
    ) -> list[list[Sentence]]:
        """Captions of each image, best first, as many as the search returns.

        Args:
            images: paths or PIL images.
            search: the strategy; that of the captioner by default.
            batch_size: images encoded and described at a time.
            call: precision, constraints, generator, ...; see `common.models.writer.Call`.

        Raises:
            ImageError: an image cannot be read; the message names it.
        """
        described: list[list[Sentence]] = []
        for start in range(0, len(images), batch_size):
            pixels = [self.pixels(image) for image in images[start : start + batch_size]]
            described += self.describe(torch.stack(pixels), search, **call)
        return described

    def describe(
        self, inputs: Tensor, search: Search | None = None, **call: Unpack[Call]
    ) -> list[list[Sentence]]:
        """Captions of a batch that is already what the encoder takes.

        Args:
            inputs: (B, 3, height, width) transformed images, or (B, S, C) features of the cache.
            search, call: as in `captions`.
        """
        return self.write((upload(inputs, self.device),), search, **call)

    def pixels(self, image: Picture) -> Tensor:
        """(3, height, width) uint8, as the encoder takes a picture."""
        return self.transform.pixels(image)

    def attention(self, image: Picture, words: Sequence[str]) -> Tensor | None:
        """Where the decoder looks while it writes the words: (T + 1, S) with the end token's row.

        On the host. None for a model without attention.
        """
        inputs = upload(self.pixels(image).unsqueeze(0), self.device)
        return self.attention_while_writing((inputs,), words)
