"""What a command line lets a user choose about reading a data set of texts, and about its splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from common.config.bounds import Fraction
from common.config.changes import LEFT_OUT, MayChange
from common.config.marks import Group, Metavar
from common.data.encodings import check_encoding

if TYPE_CHECKING:
    from common.training.options import TrainingOptions

FEW = 100  # training items, which can only be memorised


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How a data set is read."""

    val_fraction: Annotated[
        Fraction | None, Group("data"), MayChange(lambda o: o.val_fraction is None, LEFT_OUT)
    ] = None
    """Fraction of the data that becomes val, at least one item: of data without splits, of train where
    there is no val, of val where there is no train. By default 0.1 of pictures and 0.05 of sentence
    pairs. 0: validate on the training data themselves, to see whether they are memorised."""
    encoding: Annotated[str | None, Metavar("NAME")] = None
    """Encoding of the text files: cp949, euc-kr, latin-1, utf-16, or any other of Python. By default
    UTF-8, or UTF-16 where a file is in it."""

    def check_encoding(self) -> None:
        """Refuse an encoding that there is not, by a `UserError`."""
        if self.encoding is not None:
            check_encoding(self.encoding)

    def how_to_load(self) -> dict[str, Any]:
        """How text is read, and which splits are drawn, as `load` takes it."""
        found = {"encoding": self.encoding, "val_fraction": self.val_fraction}
        return found | ({"test_fraction": 0.0} if self.val_fraction == 0 else {})

    def tiny_notes(self, training: TrainingOptions, count: int, items: str) -> Iterator[str]:
        """A line where there are so few training items that they can only be memorised, which the
        usual settings are not made for.

        Args:
            training: how the weights are learnt.
            count: of the training items.
            items: what they are called.
        """
        if count >= FEW or self.val_fraction == 0:
            return
        updates = training.epochs * -(-count // (training.batch_size * training.accumulate))
        epochs = f"{training.epochs} epoch{'s' * (training.epochs != 1)}"
        yield (
            f"{count} training {items}: {epochs} give {updates:,} update{'s' * (updates != 1)} of the "
            "weights, from which little is learnt; --preset tiny memorises so few, --epochs trains for "
            "longer"
        )
