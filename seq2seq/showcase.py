"""The same few validation sentences again and again, with their translations as they improve."""

from __future__ import annotations

from collections.abc import Sequence

from common.models.writer import Sentence
from common.training.tracking import Tracker
from seq2seq.data import Pair
from seq2seq.evaluation import alignment_sheet, can_be_shown
from seq2seq.translator import Translator


class Showcase:
    """Shows a few sentences in TensorBoard after every validation.

    Args:
        translator: the model in training.
        pairs: those to show; a handful.
        tracker: where to.
        attention: whether the model has alignments to show.
    """

    def __init__(
        self, translator: Translator, pairs: Sequence[Pair], tracker: Tracker, *, attention: bool
    ) -> None:
        self.translator = translator
        self.pairs = pairs
        self.tracker = tracker
        self.attention = attention

    def show(self, translations: Sequence[Sequence[Sentence]]) -> None:
        """Show what the model now writes for the sentences, and where it looked.

        Args:
            translations: of the sentences in their order, best first; more are passed over.
        """
        best = [found[0] for found in translations[: len(self.pairs)]]
        shown = list(zip(self.pairs, best, strict=True))
        self.tracker.table(
            "translations",
            ("source", "translation", "log-probability", "reference"),
            [
                (pair.source, written.text, f"{written.log_probability:.1f}", pair.target)
                for pair, written in shown
            ],
        )
        if not self.attention:
            return
        for number, (pair, written) in enumerate(shown):
            if can_be_shown(self.translator, pair.source, written.tokens):
                sheet = alignment_sheet(self.translator, [(pair.source, written.tokens)])
                self.tracker.images(f"alignment/{number}", sheet)
