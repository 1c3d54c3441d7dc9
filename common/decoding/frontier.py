"""The loop of every search: hypotheses that grow together, and leave when they are done."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from common.compute.device import is_gpu, upload
from common.decoding.answers import Closed, in_order
from common.decoding.attention_trace import AttentionTrace
from common.decoding.constraints import Constraint
from common.decoding.continuations import Continuations
from common.decoding.hypotheses import Hypothesis, Pool
from common.decoding.length_penalty import LengthPenalty
from common.decoding.step_model import ContextT, StepModel
from common.recurrent.state import select_rows, state_tensors

Choice = Callable[[Tensor, Tensor], Continuations]
"""(log-probabilities of the next tokens (A, W, V), of the hypotheses so far (A, W)) -> choice."""


LOOK_EVERY = 4
"""Steps after which the host looks at what a GPU has found: each look waits for it. On a CPU, where
nothing is waited for, it looks after every step, and a sentence that is done costs no further step."""


class Unseen(NamedTuple):
    """What the host needs of a step that it has not looked at yet.

    Args:
        is_open: (A,) whether the sentence is still searched after it.
        any_ended: () whether a hypothesis ended.
        broken: () whether a log-probability is not a number.
        history, before: (A, W, T), (A, W) the hypotheses that the step continued, and their
            log-probabilities.
        prefixes: (A, W', T) of the continuations.
        ended: (A, W') log-probabilities of those that ended; minus infinity for the others.
        parents: (A, W') which hypothesis each continues.
        order: (A, N) what `Pool.rank` returned.
    """

    is_open: Tensor
    any_ended: Tensor
    broken: Tensor
    history: Tensor
    before: Tensor
    prefixes: Tensor
    ended: Tensor
    parents: Tensor
    order: Tensor


@dataclass
class Frontier:
    """The hypotheses that still grow: W of each of A sentences, all of the same length T.

    `advance` takes a step and waits for nothing; `look` tells the host what the steps since the last
    look have done. The answers do not depend on how often it looks: a sentence that is done changes
    no more.

    Args:
        sentences: (A) the places of the sentences in the batch.
        rows: (A,) the same on the device.
        was_open: (A) whether the sentence was still searched at the last look.
        is_open: (A,) whether it is now.
        history: (A, W, T) the tokens so far.
        log_probabilities: (A, W) minus infinity where there is no hypothesis.
        pool: the finished hypotheses of the A sentences.
        eos: the token that ends a sentence.
        max_length: (A,) most tokens of each sentence, eos not counted.
        ceiling: (A,) the largest length penalty that the sentence can come to.
        length_penalty: see `LengthPenalty`.
        stop_after: see `BeamSearch`.
        unseen: the steps since the last look.
    """

    sentences: list[int]
    rows: Tensor
    was_open: list[bool]
    is_open: Tensor
    history: Tensor
    log_probabilities: Tensor
    pool: Pool
    eos: int
    max_length: Tensor
    ceiling: Tensor
    length_penalty: LengthPenalty
    stop_after: int | None
    unseen: list[Unseen] = field(default_factory=list)

    @staticmethod
    def begin(
        max_length: Sequence[int],
        device: torch.device,
        *,
        eos: int,
        n_best: int,
        length_penalty: LengthPenalty,
        stop_after: int | None,
        keep_rows: bool,
    ) -> Frontier:
        """One empty hypothesis of every sentence."""
        batch = len(max_length)
        ceiling = torch.tensor([float(length_penalty(n + 1)) for n in max_length], device="cpu")
        return Frontier(
            sentences=list(range(batch)),
            rows=torch.arange(batch, device=device),
            was_open=[True] * batch,
            is_open=torch.ones(batch, dtype=torch.bool, device=device),
            history=torch.zeros(batch, 1, 0, dtype=torch.long, device=device),
            log_probabilities=torch.zeros(batch, 1, device=device),
            pool=Pool.empty(batch, n_best, max(max_length), device, keep_rows=keep_rows),
            eos=eos,
            max_length=upload(torch.tensor(max_length, device="cpu"), device),
            ceiling=upload(ceiling, device),
            length_penalty=length_penalty,
            stop_after=stop_after,
        )

    def advance(self, chosen: Continuations) -> None:
        """Grow by one token."""
        log_probabilities, parents, tokens = chosen
        length = self.history.shape[2]
        prefixes = self.history.gather(1, parents[..., None].expand(-1, -1, length))
        ends = tokens == self.eos
        at_limit = (self.max_length == length)[:, None]
        ended = log_probabilities.masked_fill(~(ends & self.is_open[:, None]), -math.inf)
        growing = log_probabilities.masked_fill(ends | at_limit, -math.inf)
        order = self.pool.rank(ended / self.length_penalty(length + 1))
        # A hypothesis can only lose probability; its score is best if it loses none until the
        # greatest length. What cannot even then beat the worst of the pool is not worth its steps.
        open_ = (growing / self.ceiling[:, None] > self.pool.scores[:, -1:]).any(1)
        if self.stop_after is not None:
            open_ &= self.pool.count < self.stop_after
        self.is_open = open_ & self.is_open
        step = Unseen(
            self.is_open, (ended > -math.inf).any(), log_probabilities.isnan().any(),
            self.history, self.log_probabilities, prefixes, ended, parents, order,
        )  # fmt: skip
        self.unseen.append(step)
        self.history = torch.cat([prefixes, tokens[..., None]], 2)
        self.log_probabilities = growing

    def look(self) -> list[Closed]:
        """The sentences that were done with the steps since the last look.

        Raises:
            ValueError: a log-probability is not a number.
        """
        steps, self.unseen = self.unseen, []
        flags = [
            torch.cat([step.is_open, step.any_ended[None], step.broken[None]]) for step in steps
        ]
        found: list[list[bool]] = torch.stack(flags).tolist()  # here the host waits for the device
        if any(broken for *_, broken in found):
            raise ValueError("the model's logits are not numbers (NaN or infinite)")
        for step, (*_, any_ended, _) in zip(steps, found, strict=True):
            if any_ended:
                rows = self._rows(step)
                continued = None if rows is None else rows.gather(1, step.parents)
                self.pool.store(step.order, step.prefixes, step.ended, continued)
        closed = []
        for step, (*is_open, _, _) in zip(steps, found, strict=True):
            places = [i for i, was in enumerate(self.was_open) if was and not is_open[i]]
            if places:
                closed.append(self._close(places, step))
            self.was_open = is_open
        return closed

    def _close(self, places: list[int], step: Unseen) -> Closed:
        """The answers of some sentences; what ended at this step was not cut off by its end."""
        rows = upload(torch.tensor(places, device="cpu"), step.ended.device)
        ends = torch.zeros_like(step.before)
        ends.scatter_add_(1, step.parents, (step.ended > -math.inf).to(ends.dtype))
        cut_off = step.before.masked_fill(ends > 0, -math.inf)[rows]
        finished, history = self.pool.select(rows), step.history[rows]
        penalty = self.length_penalty(max(1, history.shape[2]))
        pool = Pool.empty_like(finished)
        continued = self._rows(step)
        continued = None if continued is None else continued[rows]
        pool.store(pool.rank(cut_off / penalty), history, cut_off, continued)
        return Closed([self.sentences[i] for i in places], finished, pool)

    def _rows(self, step: Unseen) -> Tensor | None:
        """(A, W) the rows of the hypotheses that a step continued; None where they are not kept."""
        if self.pool.rows is None:
            return None
        return torch.arange(step.before.numel(), device=step.before.device).view_as(step.before)

    def prune(self) -> Tensor:
        """Drop the sentences that are done; return the places (A',) of those that stay."""
        places = [i for i, is_open in enumerate(self.was_open) if is_open]
        rows = upload(torch.tensor(places, device="cpu"), self.history.device)
        self.sentences = [self.sentences[i] for i in places]
        self.was_open = [True] * len(places)
        self.rows = self.rows[rows]
        self.is_open = self.is_open[rows]
        self.history = self.history[rows]
        self.log_probabilities = self.log_probabilities[rows]
        self.pool = self.pool.select(rows)
        self.max_length = self.max_length[rows]
        self.ceiling = self.ceiling[rows]
        return rows


@torch.no_grad()
def run_search(
    model: StepModel[ContextT],
    context: ContextT,
    choose: Choice,
    *,
    bos: int,
    eos: int,
    max_length: Sequence[int],
    constraints: Sequence[Constraint],
    length_penalty: LengthPenalty,
    n_best: int,
    stop_after: int | None,
    prune: bool,
    keep_attention: bool = False,
) -> list[list[Hypothesis]]:
    """Search with any strategy.

    Args:
        model, context, bos, eos, prune, keep_attention: as `Search.__call__` takes them.
        choose: which continuations live on.
        max_length: of each of the B sentences.
        constraints: all of them.
        length_penalty: what log-probabilities are divided by.
        n_best: hypotheses of each sentence that are returned.
        stop_after: ended hypotheses with which a sentence is done; None: see `BeamSearch`.
    """
    context = model.prepare(context)
    state = model.start(context)
    device = next(state_tensors(state)).device
    trace = AttentionTrace() if keep_attention else None
    frontier = Frontier.begin(
        max_length,
        device,
        eos=eos,
        n_best=n_best,
        length_penalty=length_penalty,
        stop_after=stop_after,
        keep_rows=keep_attention,
    )
    batch = len(max_length)
    tokens = torch.full((batch, 1), bos, device=device)
    every = LOOK_EVERY if is_gpu(device) else 1
    closed: list[Closed] = []
    while True:
        width = tokens.shape[1]
        logits, state, weights = model.step(tokens.flatten(), state, context)
        if trace is not None:
            trace.add_weights(weights)
        # In float32 whatever the model's precision; and a new tensor, so that bans may be written.
        log_probs = F.log_softmax(logits, -1, dtype=torch.float32)
        sentences = frontier.rows[:, None].expand(-1, width).flatten()
        for constraint in constraints:
            log_probs = constraint(frontier.history.flatten(0, 1), sentences, log_probs)
        chosen = choose(log_probs.unflatten(0, (-1, width)), frontier.log_probabilities)
        frontier.advance(chosen)
        tokens, rows = chosen.tokens, None
        if len(frontier.unseen) == every:
            done = frontier.look()
            closed += done
            if not any(frontier.was_open):
                return in_order(closed, n_best, trace)
            if prune and done:
                # At once, even for one sentence: a step costs many times what the selection costs.
                rows = frontier.prune()
                context = context.select(rows)
                tokens = tokens[rows]
        survivors = None  # every row stays in its place
        if rows is not None or tokens.shape[1] > 1 or width > 1:
            rows = torch.arange(len(tokens), device=device) if rows is None else rows
            survivors = (rows[:, None] * width + chosen.parents[rows]).flatten()
            state = select_rows(state, survivors)
        if trace is not None:
            trace.add_parents(survivors)
