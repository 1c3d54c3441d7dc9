"""A model of the next token of a text: characters or words."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.compute.device import map_tensors
from common.decoding.step_model import Step
from common.models.text_batches import TextBatch
from common.models.tokens import token_loss
from common.recurrent import Recurrent, RecurrentState
from common.recurrent.cells import CellFactory
from common.recurrent.dropout import Dropout
from common.recurrent.names import CellName, Connections, Initialization
from common.recurrent.state import map_state, state_tensors
from common.text.vocabulary import BOS, PAD, SPECIALS
from common.training.loss import Loss

UNSEEN = -10.0  # the first bias of a token that the training text lacks
SCORED_AT_ONCE = 2**24  # logits: more do not make it faster


@dataclass(frozen=True)
class Prefix:
    """How texts begin that a search continues: its context, in the place of an encoded input.

    Args:
        tokens: (B, P), P at least 1.
    """

    tokens: Tensor

    @property
    def batch_size(self) -> int:
        return len(self.tokens)

    def select(self, rows: Tensor) -> Prefix:
        """The beginnings of some texts, in the order of `rows` (N,)."""
        return map_tensors(self, lambda tensor: tensor.index_select(0, rows))


class LanguageModel(nn.Module):
    """Embeds tokens, runs a recurrent network over them, and scores every token as the next one.

        h_1 ... h_T = Recurrent(E x_1 ... E x_T)        logits_t = W h_t + b

    A search continues a text: `Sampling(temperature=0.8)(model, Prefix(tokens), bos=BOS, eos=EOS)`.

    Args:
        vocabulary_size: V; ids are those of a `Vocabulary`.
        embedding_size: E, features of a token; None: tokens are one-hot, and special tokens all 0.
        hidden_size: H, features of a hidden state.
        cell, num_layers, connections: as `Recurrent` takes them.
        initialization: as in `initialize_`; with "orthogonal" or "keras", the output layer's is Glorot
            uniform.
        tie_embeddings: the output matrix is the embedding matrix (Press and Wolf 2017), after a linear
            map of the hidden state to E features where they are not as many.
        token_dropout: probability of dropping a token of the vocabulary, in all of a batch (Gal and
            Ghahramani 2016).
        input_dropout: of dropping a feature of an embedding.
        layer_dropout: of dropping a feature between recurrent layers, at every step anew.
        weight_dropout: of dropping a recurrent weight, for all steps of a batch.
        output_dropout: of dropping a feature of the recurrent outputs.
        locked: input and output dropout drop the same features at every step of a row (variational
            dropout, Gal and Ghahramani 2016), and not others at every step.
        rows: B, of the training batches that continue each other; 0 where none do.

    Raises:
        ValueError: tied embeddings that are one-hot.
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        embedding_size: int | None = 128,
        hidden_size: int = 256,
        cell: CellName | CellFactory = "gru",
        num_layers: int = 1,
        connections: Connections = "plain",
        initialization: Initialization | None = None,
        tie_embeddings: bool = False,
        token_dropout: float = 0.0,
        input_dropout: float = 0.0,
        layer_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        output_dropout: float = 0.0,
        locked: bool = False,
        rows: int = 0,
    ) -> None:
        super().__init__()
        if tie_embeddings and embedding_size is None:
            raise ValueError("one-hot tokens have no embeddings that could be tied")
        self.vocabulary_size = vocabulary_size
        width = embedding_size or vocabulary_size - len(SPECIALS)
        self.embedding = None if embedding_size is None else nn.Embedding(vocabulary_size, width)
        self.recurrent = Recurrent(
            cell, width, hidden_size, num_layers=num_layers, dropout=layer_dropout,
            weight_dropout=weight_dropout, connections=connections, initialization=initialization,
        )  # fmt: skip
        narrows = tie_embeddings and width != hidden_size
        self.features = nn.Linear(hidden_size, width) if narrows else nn.Identity()
        self.output = nn.Linear(width if narrows else hidden_size, vocabulary_size)
        self.scale = 1.0  # of the inputs, whose features begin with a deviation of 1
        if tie_embeddings and self.embedding is not None:
            self.scale = width**0.5  # a small output matrix keeps the first softmax near uniform
            nn.init.normal_(self.embedding.weight, std=1 / self.scale)
            self.output.weight = self.embedding.weight
        elif initialization in ("orthogonal", "keras"):
            nn.init.xavier_uniform_(self.output.weight[len(SPECIALS) :])  # a view: in place
        nn.init.zeros_(self.output.bias)
        self.token_dropout = token_dropout
        dropout = LockedDropout if locked else Dropout
        self.input_dropout, self.output_dropout = dropout(input_dropout), dropout(output_dropout)
        first = self.recurrent.initial_state(rows, self.output.weight.detach())
        self.carried = CarriedState(first) if rows else None

    def forward(
        self, tokens: Tensor, state: RecurrentState | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Score what follows each token.

        Args:
            tokens: (B, T).
            state: before the first token; zeros if not given.

        Returns:
            The logits (B, T, V), and the state after the last token.
        """
        outputs, state = self.recurrent(self.input_dropout(self.embed(tokens)), state=state)
        return self.output(self.features(self.output_dropout(outputs))), state

    def embed(self, tokens: Tensor) -> Tensor:
        """tokens: (...). Returns (..., E)."""
        if self.embedding is None:
            one_hot = F.one_hot(tokens, self.vocabulary_size)[..., len(SPECIALS) :]
            return one_hot.to(self.output.weight.dtype)
        weights = self.embedding.weight
        if self.training and self.token_dropout:
            drawn = torch.rand(len(weights), 1, device=weights.device)
            kept = (drawn >= self.token_dropout).to(weights.dtype)
            weights = weights * kept.div_(1 - self.token_dropout)
        return F.embedding(tokens, weights) * self.scale

    def set_unseen(self, counts: Tensor) -> None:
        """Let tokens that the training text lacks begin as improbable: nothing would teach it soon.

        Args:
            counts: (V,) how often each is a target in the training text.
        """
        with torch.no_grad():
            self.output.bias[counts == 0] = UNSEEN

    def loss(self, batch: TextBatch) -> Loss:
        """Cross-entropy, a mean over the tokens that are predicted; its sums are `token_loss`'s.

        While training, the state after the last token is kept, detached, for a batch that continues
        this one: truncated backpropagation through time.
        """
        carried = self.carried if self.training else None
        state = carried.state() if carried is not None and batch.continues else None
        logits, state = self(batch.tokens, state)
        if carried is not None and len(batch) == carried.rows:
            carried.keep(state)
        return token_loss(logits, batch.targets, pad=PAD)

    # -- what a search calls -----------------------------------------------------------------------

    def prepare(self, prefix: Prefix) -> Prefix:
        return prefix

    def start(self, prefix: Prefix) -> RecurrentState:
        """The state after all tokens of the prefix but the last."""
        before = prefix.tokens[:, :-1]
        return self.recurrent(self.embed(before))[1]

    def step(self, tokens: Tensor, state: RecurrentState, prefix: Prefix) -> Step:
        """One step: logits (R, V) of what follows the last tokens (R,) of each row.

        The start token of the search stands for the last token of the prefix.
        """
        last = prefix.tokens[:, -1].repeat_interleave(len(tokens) // max(1, prefix.batch_size))
        tokens = tokens.where(tokens != BOS, last)
        output, state = self.recurrent.step(self.embed(tokens), state)
        return Step(self.output(self.features(output)), state)


@dataclass(frozen=True)
class Scores:
    """How well a model predicts some texts.

    Args:
        loss: a mean over the tokens that are predicted, in nats.
        accuracy: the fraction of them that are predicted as the likeliest.
        by_position: (T,) the mean loss of those at each position.
    """

    loss: float
    accuracy: float
    by_position: list[float]


@torch.no_grad()
def score(model: LanguageModel, tokens: Tensor, targets: Tensor) -> Scores:
    """Score texts (N, T), each from a zero state, by a model in evaluation mode.

    Args:
        tokens, targets: as `TextBatch` has them; on any device.
    """
    device = next(model.parameters()).device
    rows = max(1, SCORED_AT_ONCE // (model.vocabulary_size * tokens.shape[1]))
    sums = torch.zeros(3, tokens.shape[1], dtype=torch.float64, device="cpu")
    for part in zip(tokens.split(rows), targets.split(rows), strict=True):
        read, wanted = (each.to(device) for each in part)
        logits, real = model(read)[0].float(), wanted != PAD
        nll = F.cross_entropy(logits.movedim(2, 1), wanted, ignore_index=PAD, reduction="none")
        right = (logits.argmax(2) == wanted) & real
        sums += torch.stack([each.sum(0, dtype=torch.float64) for each in (nll, right, real)]).cpu()
    nll, right, count = sums
    total = count.sum().clamp(min=1)
    by_position = (nll / count.clamp(min=1)).tolist()
    return Scores(float(nll.sum() / total), float(right.sum() / total), by_position)


class CarriedState(nn.Module):
    """The state that one training batch leaves to the next; saved with the weights, so that a training
    is resumed between the two.

    Args:
        state: the first.
    """

    def __init__(self, state: RecurrentState) -> None:
        super().__init__()
        self.first = state
        for number, part in enumerate(state_tensors(state)):
            self.register_buffer(f"part{number}", part.detach().clone())
        self.rows = len(part)

    def state(self) -> RecurrentState:
        """What was kept last."""
        parts = self.buffers()
        return map_state(lambda _: next(parts), self.first)

    def keep(self, state: RecurrentState) -> None:
        """Copy a state, without its graph."""
        for kept, part in zip(self.buffers(), state_tensors(state), strict=True):
            kept.copy_(part.detach())


class LockedDropout(nn.Dropout):
    """Drops the same features at every step of a row: values are (B, T, F)."""

    def forward(self, values: Tensor) -> Tensor:
        ones = values.new_ones(len(values), 1, values.shape[-1])
        return values * F.dropout(ones, self.p, self.training) if self.training else values
