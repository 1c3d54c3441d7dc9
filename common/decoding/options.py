"""What a command line lets a user choose about the decoder and the search.

Only command lines and run folders know these dataclasses: every class that they configure takes plain
keyword arguments and works without them. PyTorch is imported where something is built, and not
before: `--help` is quick.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from common.compute import Precision
from common.config.bounds import DropoutRate, Layers, Size
from common.config.marks import BASIC
from common.decoding.names import AttentionKind, Injection
from common.decoding.search import BeamSearch, Greedy, Sampling, Search
from common.errors import UserError, one_line
from common.recurrent.names import CellName, Initialization

if TYPE_CHECKING:
    from common.decoding.decoder import RecurrentDecoder


@dataclass(frozen=True)
class DecoderOptions:
    """The network that writes the sentence."""

    cell: Annotated[CellName, BASIC] = "lstm"
    """Recurrent cell; gru_cho resets before the product (Cho et al. 2014)."""
    num_layers: Layers = 1
    """Stacked recurrent layers."""
    embedding_size: Annotated[Size, BASIC] = 256
    """Features of a word embedding."""
    hidden_size: Annotated[Size, BASIC] = 512
    """Features of the hidden state."""
    initialization: Initialization = "pytorch"
    """How the recurrent weights begin; orthogonal (with an open forget gate) learns dependencies over
    many steps sooner."""
    inject: tuple[Injection, ...] = ("init", "every")
    """How the context vector enters, in any combination: as the first state (init), the first input
    (first), a part of each step's input (every), or of the output layer's (output)."""
    attention: Annotated[Literal["none", "additive", "dot", "general", "concat"], BASIC] = "none"
    """What scores the memory that the decoder reads at each step."""
    attend: Literal["before", "after"] = "before"
    """Attention before the step, whose input it is part of (Bahdanau), or after it (Luong)."""
    attention_size: Size = 512
    """Features in which query and memory meet in additive and concat attention."""
    query_word: bool = False
    """Add the previous word to the query of an attention before the step."""
    gate: bool = False
    """Scale what attention reads by a learnt scalar at every step (Show, Attend and Tell)."""
    readout: Literal["linear", "tanh", "maxout"] = "tanh"
    """What stands between the decoder's features and the logits."""
    readout_size: Size | None = None
    """Features of the readout; the hidden size by default."""
    deep_output: bool = False
    """Add the previous word to the output layer's input."""
    tie_embeddings: bool = False
    """Compute the logits with the embedding matrix itself."""
    word_dropout: DropoutRate = 0.0
    """Fraction of the previous words that are hidden while training."""
    embedding_dropout: DropoutRate = 0.3
    """Fraction of the embedding features dropped while training."""
    layer_dropout: DropoutRate = 0.3
    """Fraction of the features dropped between recurrent layers."""
    output_dropout: DropoutRate = 0.5
    """Fraction of the recurrent outputs and readout features dropped."""

    def build(
        self, vocabulary_size: int, context_size: int, memory_size: int | None
    ) -> RecurrentDecoder:
        """The decoder of these choices for a vocabulary and an encoder's sizes."""
        from common.decoding.decoder import RecurrentDecoder
        from common.recurrent.initialization import initialize_

        choices = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        attention: AttentionKind | None = None if self.attention == "none" else self.attention
        choices["attention"] = attention
        del choices["initialization"]
        try:
            decoder = RecurrentDecoder(
                vocabulary_size,
                context_size=context_size,
                memory_size=memory_size if attention else None,
                **choices,
            )
            if self.initialization != "pytorch":  # which it has already
                initialize_(decoder.recurrent, self.initialization)
        except ValueError as error:
            raise UserError(
                f"these decoder options do not go together: {one_line(error)}."
            ) from None
        return decoder


@dataclass(frozen=True, kw_only=True)
class SearchOptions(BeamSearch, Sampling):
    """How sentences are found when the model writes."""

    search: Literal["beam", "greedy", "sampling"] = "beam"
    """Write the best of several hypotheses (beam), the likeliest token at every step (greedy), or tokens
    that are drawn from the model's distribution (sampling)."""
    search_precision: Precision = "auto"
    """Arithmetic of the search's matrix products; auto takes the one that is measured to be faster
    where the search runs."""
    # Explained where they are defined; here are the defaults of the command lines.
    min_length: int = 1
    length_penalty: float = 0.7
    beam_patience: float | None = 2.0

    def __post_init__(self) -> None:
        """Nothing is checked here: only the strategy that is chosen has to make sense."""

    def precision_of_training(self, training: Precision) -> Precision:
        """The precision of the validations of a training.

        In the place of "auto" it is that of the training, which the run keeps, so that a resumed run
        validates as before.
        """
        return training if self.search_precision == "auto" else self.search_precision

    @classmethod
    def of(cls, search: Search, precision: Precision = "auto") -> SearchOptions:
        """The options of a strategy."""
        names = {BeamSearch: "beam", Greedy: "greedy", Sampling: "sampling"}
        return cls(
            search=names[type(search)],  # type: ignore[arg-type]
            search_precision=precision, **dataclasses.asdict(search),
        )  # fmt: skip

    def strategy(self, where: str = "") -> Search:
        """The search of these options, which are those of the file `where`, or of the command line.

        Raises:
            UserError: they contradict each other.
        """
        chosen = {"beam": BeamSearch, "greedy": Greedy, "sampling": Sampling}[self.search]
        names = [field.name for field in dataclasses.fields(chosen)]
        try:
            return chosen(**{name: getattr(self, name) for name in names})
        except ValueError as error:
            message = str(error)
            if where:
                raise UserError(f"{where}: {message}.") from None
            for name in sorted(names, key=len, reverse=True):
                message = message.replace(name, f"--{name.replace('_', '-')}")
            raise UserError(f"{message}.") from None
