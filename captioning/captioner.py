"""Image in, sentence out: the trained captioner as a user of it sees it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from captioning.encoder import ImageEncoder
from captioning.transform import ImageTransform
from common.decoding.hypotheses import Hypothesis
from common.device import upload
from common.encoder_decoder import EncoderDecoder
from common.ensemble import EnsembleModel
from common.text.tokenizer import Tokenizer
from common.text.vocabulary import BOS, PAD, UNK, Vocabulary

Picture = str | os.PathLike[str] | Image.Image


@dataclass(frozen=True)
class Caption:
    """A sentence for an image.

    Args:
        text: the sentence.
        words: its tokens.
        score: the length-normalised log-probability by which captions are ranked.
        log_probability: of the whole sentence, in nats.
    """

    text: str
    words: list[str]
    score: float
    log_probability: float


class Captioner:
    """Describes pictures.

    Args:
        model: an encoder of images and a decoder, or an ensemble.
        vocabulary: the words of the decoder.
        tokenizer: turns words into text.
        transform: the one transform from a picture to the encoder's input.
        search: options of `SentenceWriter.generate` where a call does not say otherwise.
    """

    def __init__(
        self,
        model: EncoderDecoder | EnsembleModel,
        vocabulary: Vocabulary,
        tokenizer: Tokenizer,
        transform: ImageTransform,
        search: Mapping[str, Any] = MappingProxyType({"beam_size": 5, "max_length": 40}),
    ) -> None:
        self.model = model.eval()
        self.vocabulary = vocabulary
        self.tokenizer = tokenizer
        self.transform = transform
        self.search = dict(search)

    @classmethod
    def from_run(
        cls, folder: str | os.PathLike[str], *more: str | os.PathLike[str], device: str = "auto"
    ) -> Captioner:
        """The captioner that a run has trained; with more runs, the ensemble of all of them.

        The folders alone are needed, and no code in them is run.

        Raises:
            UserError: a folder is no captioning run, or an incomplete one, or of a newer version;
                or the runs of an ensemble do not share their words or their transform.
        """
        # The run's options know how it was built; importing them here keeps this class free of them.
        from captioning.loading import load_ensemble

        return load_ensemble([Path(folder), *map(Path, more)], device)

    @property
    def encoders(self) -> list[ImageEncoder]:
        """The encoder of the model; of an ensemble, those of its members."""
        members = self.model.models if isinstance(self.model, EnsembleModel) else [self.model]
        return [m.encoder for m in members if isinstance(m.encoder, ImageEncoder)]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def caption(
        self, images: Sequence[Picture], *, batch_size: int = 32, **search: Any
    ) -> list[str]:
        """The best caption of each image.

        Args:
            images: paths or PIL images.
            batch_size: images encoded and described at a time.
            search: options of `SentenceWriter.generate`: beam_size, max_length, length_penalty, ...

        Raises:
            ImageError: an image cannot be read; the message names it.
        """
        return [found[0].text for found in self.captions(images, batch_size=batch_size, **search)]

    def captions(
        self, images: Sequence[Picture], *, batch_size: int = 32, **search: Any
    ) -> list[list[Caption]]:
        """As `caption`, but `n_best` (an option of the search) captions an image, best first."""
        described: list[list[Caption]] = []
        for start in range(0, len(images), batch_size):
            pixels = [self.pixels(image) for image in images[start : start + batch_size]]
            described += self.describe(torch.stack(pixels), **search)
        return described

    def describe(self, inputs: Tensor, **search: Any) -> list[list[Caption]]:
        """Captions of a batch that is already what the encoder takes.

        Args:
            inputs: (B, 3, height, width) transformed images, or (B, S, C) features of the cache.
            search: options of `SentenceWriter.generate`.
        """
        options = self.search | search
        if "min_length" not in search:  # the run's own gives way to a maximum that is asked for
            floor = min(options.get("min_length", 0), options.get("max_length", math.inf))
            options["min_length"] = floor
        # A reader has no use for the token that stands for unknown words.
        found = self.model.generate(
            upload(inputs, self.device), forbidden=(PAD, BOS, UNK), **options
        )
        return [[self._caption(hypothesis) for hypothesis in best] for best in found]

    def pixels(self, image: Picture) -> Tensor:
        """(3, height, width) uint8, as the encoder takes a picture."""
        return self.transform.pixels(image)

    @property
    def has_attention(self) -> bool:
        """Whether the model looks at regions of the picture while it writes."""
        return self.attention(Image.new("RGB", (64, 64)), []) is not None

    def attention(self, image: Picture, words: Sequence[str]) -> Tensor | None:
        """Where the decoder looks while it writes the words: (T + 1, S) with the end token's row.

        On the host. None for a model without attention.
        """
        inputs = upload(self.pixels(image).unsqueeze(0), self.device)
        weights = self.model.attention_weights((inputs,), [self.vocabulary.encode(list(words))])
        return None if weights is None else weights[0]

    def _caption(self, hypothesis: Hypothesis) -> Caption:
        words = self.vocabulary.decode(hypothesis.tokens)
        return Caption(
            self.tokenizer.decode(words), words, hypothesis.score, hypothesis.log_probability
        )
