"""The same few validation images again and again, with their captions as they improve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from captioning.captioner import Captioner
from captioning.data import CaptionedImage
from captioning.evaluation import attention_sheet
from common.evaluation.pictures import contact_sheet
from common.models.writer import Sentence
from common.training.tracking import Tracker


class Showcase:
    """Shows a few images in TensorBoard after every validation.

    Args:
        captioner: the model in training.
        images: those to show; a handful.
        tracker: where to.
        attention: whether the model has attention to show.
    """

    def __init__(
        self,
        captioner: Captioner,
        images: Sequence[CaptionedImage],
        tracker: Tracker,
        *,
        attention: bool,
    ) -> None:
        self.captioner = captioner
        self.images = images
        self.tracker = tracker
        self.attention = attention

    def show(self, captions: Mapping[str, Sequence[Sentence]]) -> None:
        """Show what the model now says of the images, and where it looked.

        Args:
            captions: by image id, best first; those of other images are passed over.
        """
        if not self.images:
            return
        best = [captions[image.id][0] for image in self.images]
        seen = [self.captioner.transform.fitted(image.path) for image in self.images]
        sheet = contact_sheet(seen, [caption.text for caption in best])
        self.tracker.images("captions", sheet)
        self.tracker.table(
            "captions",
            ("image", "caption", "log-probability", "reference"),
            [
                (image.id, caption.text, f"{caption.log_probability:.1f}", image.captions[0])
                for image, caption in zip(self.images, best, strict=True)
            ],
        )
        if self.attention:
            for image, caption in list(zip(self.images, best, strict=True))[:4]:
                overlay = attention_sheet(self.captioner, [(image.path, caption.tokens)])
                self.tracker.images(f"attention/{image.id}", overlay)
