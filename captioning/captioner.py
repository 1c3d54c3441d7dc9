"""Image in, sentence out: the trained captioner as a user of it sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias, Unpack, cast, overload

from torch import Tensor, nn

from captioning.encoder import ImageEncoder
from captioning.features import FeatureFolder
from captioning.images import ImageError, ImageSource, is_one
from captioning.inputs import check_features
from captioning.model import build_model, make_transform
from captioning.options import KIND, TrainOptions
from captioning.transform import ImageTransform, image_batches
from common.compute import Precision
from common.compute.device import DeviceLike, upload
from common.config.plain import from_dict
from common.decoding.search import BeamSearch, Search
from common.errors import UserError
from common.models.calls import Prefix, of_rows
from common.models.encoder_decoder import EncoderDecoder
from common.models.ensemble import EnsembleModel
from common.models.likelihood import Likelihood, check_texts, likelihoods
from common.models.sentence import Sentence
from common.models.writer import IN_CODE, Call, PathLike, Writer, writer_defaults
from common.runs.run import Run
from common.text.language import Language

Picture: TypeAlias = ImageSource
"""A path, the bytes of an image file, a Pillow image, an array or a tensor; see `open_image`."""


class Captioning(Call, total=False):
    """How pictures are described, by name: a `Call`, and besides

    batch_size: images encoded and described at a time; 32 by default.
    prefix: text that each caption begins with: one for all, or a list with one for each.
    """

    batch_size: int
    prefix: Prefix


class Captioner(Writer):
    """Describes pictures.

        captioner.caption("dog.jpg")
        captioner.caption(["dog.jpg", "beach.jpg"])
        captioner.captions("dog.jpg", Sampling(num_samples=3, temperature=0.8))

    Args:
        model: an encoder of images and a decoder, or an ensemble.
        transform: the one transform from a picture to the encoder's input.
        language: the tokens of the decoder.
        search: the strategy where a call does not name one.
        precision: arithmetic of the search where a call does not say otherwise.
        features: of the pictures, found by their paths, for an encoder that takes no pictures.
        longest: the most tokens of a caption in training, alone in a tuple.
    """

    KIND = KIND
    ALIKE = ("encoder.image_size", "encoder.fit")

    def __init__(
        self,
        model: EncoderDecoder | EnsembleModel,
        transform: ImageTransform,
        language: Language,
        search: Search = BeamSearch(beam_size=5),
        precision: Precision = "fp32",
        features: FeatureFolder | None = None,
        longest: Sequence[int] = (),
    ) -> None:
        super().__init__(model, language, search, precision, longest)
        self.transform = transform
        self.features = features

    @classmethod
    def from_run(
        cls,
        folder: PathLike,
        *more: PathLike,
        model: nn.Module | None = None,
        device: DeviceLike = "auto",
        features: PathLike | None = None,
    ) -> Captioner:
        """As `Writer.from_run`.

        Args:
            folder, more, model, device: see there.
            features: folder of features of pictures, by which a run that was trained on features finds
                them.

        Raises:
            UserError: as there, or the features cannot be used.
        """
        captioner = super().from_run(folder, *more, model=model, device=device)
        if features is not None:
            captioner.features = FeatureFolder(features)
            check_features(captioner.features, captioner.encoders)
        return captioner

    @classmethod
    def _of_run(cls, run: Run, model: nn.Module | None) -> Captioner:
        language = Language.load(run.existing)
        if run.config.get(IN_CODE):
            where = str(run.path / "config.json")
            transform = from_dict(ImageTransform, run.config.get("transform"), where)
        else:
            options = run.read_config(TrainOptions)
            transform = make_transform(options.encoder)
            model = model or run.build_model(
                lambda: build_model(options, language.vocabulary, weights="none")
            )
        return cls(model, transform, language, **writer_defaults(run, TrainOptions))  # type: ignore[arg-type]

    def _settings(self) -> dict[str, Any]:
        return {"transform": asdict(self.transform)}

    def _files(self) -> Iterable[tuple[str, Callable[[Path], None]]]:
        return self.language.files()

    def _usual_length(self, source: int) -> int:
        return TrainOptions.USUAL_LENGTH

    @property
    def encoders(self) -> list[ImageEncoder]:
        """The encoder of the model; of an ensemble, those of its members."""
        return [m.encoder for m in self.members if isinstance(m.encoder, ImageEncoder)]

    @overload
    def caption(  # type: ignore[overload-overlap]  # a path is a sequence of letters
        self, images: Picture, search: Search | None = None, **how: Unpack[Captioning]
    ) -> str: ...
    @overload
    def caption(
        self, images: Iterable[Picture], search: Search | None = None, **how: Unpack[Captioning]
    ) -> list[str]: ...
    def caption(
        self,
        images: Picture | Iterable[Picture],
        search: Search | None = None,
        **how: Unpack[Captioning],
    ) -> str | list[str]:
        """The best caption of each image, or of the one that is given; arguments as in `captions`."""
        several = [images] if is_one(images) else cast(Iterable[Picture], images)
        texts = [best[0].text for best in self.captions(several, search, **how)]
        return texts[0] if is_one(images) else texts

    @overload
    def captions(  # type: ignore[overload-overlap]
        self, images: Picture, search: Search | None = None, **how: Unpack[Captioning]
    ) -> list[Sentence]: ...
    @overload
    def captions(
        self, images: Iterable[Picture], search: Search | None = None, **how: Unpack[Captioning]
    ) -> list[list[Sentence]]: ...
    def captions(
        self,
        images: Picture | Iterable[Picture],
        search: Search | None = None,
        **how: Unpack[Captioning],
    ) -> list[Sentence] | list[list[Sentence]]:
        """Captions of each image, best first, as many as the search returns.

        Args:
            images: each a path, the bytes of a file, a Pillow image, an array (H, W, 3) or a tensor
                (3, H, W), uint8 or floats in [0, 1]; or one of them, whose captions are returned alone.
                Paths, where the captioner has features.
            search: the strategy; that of the captioner by default.
            how: batch_size, prefix, precision, constraints, generator, ...; see `Captioning`.

        Raises:
            ImageError: an image cannot be read; the message names it.
        """
        if is_one(images):
            return self.captions([images], search, **how)[0]
        if not isinstance(images, Iterable):
            raise TypeError(f"images are one picture or several, not a {type(images).__name__}")
        call: Any = dict(how)
        size, several = call.pop("batch_size", 32), list(cast(Iterable[Picture], images))
        described: list[list[Sentence]] = []
        for start in range(0, len(several), size):
            rows = range(start, min(start + size, len(several)))
            own = of_rows(call, len(several), rows)
            described += self.describe(self.inputs([several[row] for row in rows]), search, **own)
        return described

    def describe(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        search: Search | None = None,
        *,
        prefix: Prefix = None,
        **call: Unpack[Call],
    ) -> list[list[Sentence]]:
        """Captions of a batch that is already what the encoder takes.

        Args:
            inputs: what the encoder is called with, on any device: of an `ImageEncoder`
                (B, 3, height, width) transformed images, or (B, S, C) features, alone or with a mask
                (B, S).
            search, prefix, call: as in `captions`.
        """
        return self.write(self._uploaded(inputs), search, prefix=prefix, **call)

    def score(
        self, images: Sequence[Picture], captions: Sequence[str], *, batch_size: int = 32
    ) -> list[Likelihood]:
        """How likely the model finds given captions, each of its image.

        The log-probability is what a search in float32 gives the same tokens.

        Args:
            images: as `captions` takes them; for several captions of an image, name it several times.
            captions: of the images, in their order.
            batch_size: images encoded and captions scored at a time, at most.

        Raises:
            ValueError: the captions are not one for each image.
            ImageError: an image cannot be read; the message names it.
            UserError: a caption is far too long.
        """
        check_texts(images, captions, "image")
        return likelihoods(
            self.model, self.language,
            lambda rows: self._uploaded(self.inputs([images[row] for row in rows])),
            captions, batch_size=batch_size,
        )  # fmt: skip

    def inputs(self, images: Picture | Sequence[Picture]) -> tuple[Tensor, ...]:
        """What the encoder is called with for pictures; one is a batch of one.

        Raises:
            ImageError: an image cannot be read, or has no features.
        """
        several = [images] if is_one(images) else cast(Sequence[Picture], images)
        inputs, _, problems = self.read(several)
        if problems:
            raise ImageError(problems[0][1])
        return inputs

    def read(
        self, images: Sequence[Picture]
    ) -> tuple[tuple[Tensor, ...], list[int], list[tuple[int, str]]]:
        """What the encoder is called with for those pictures that can be read.

        Returns:
            The inputs, () for no picture; the positions of their pictures; and for each of the others
            its position and one line that says why.

        Raises:
            UserError: the encoder takes features, and the captioner has none.
        """
        if self.features is not None:
            if not all(isinstance(each, str | os.PathLike) for each in images):
                raise UserError(
                    "this captioner finds the features of a picture by its name: give paths."
                )
            kept, rows, problems = self.features.find(map(str, images))
            return (self.features.read(rows) if kept else ()), kept, problems
        if any(encoder.cnn is None for encoder in self.encoders):
            raise UserError(
                "this captioner was trained on features of pictures: name a folder of those of your "
                "pictures, --features DIR (features=DIR in code)."
            )
        (batch,) = image_batches(images, self.transform, len(images))
        return (batch.pixels,) if batch.indices else (), batch.indices, batch.problems

    def attention(self, image: Picture, words: Sequence[str]) -> Tensor | None:
        """Where the decoder looks while it writes the words: (T + 1, S) with the end token's row.

        On the host. None for a model without attention.
        """
        return self.attention_while_writing(self._uploaded(self.inputs([image])), words)

    def _uploaded(self, inputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        each = (inputs,) if isinstance(inputs, Tensor) else inputs
        return tuple(upload(tensor, self.device) for tensor in each)
