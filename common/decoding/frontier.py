"""The loop of every search: the hypotheses of all sentences grow by one token in every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from common.compute.device import is_gpu, upload
from common.decoding.answers import Closed, in_order
from common.decoding.constraints import Constraint
from common.decoding.continuations import Continuations
from common.decoding.hypotheses import Hypothesis, Pool
from common.decoding.step_model import ContextT, StepModel
from common.recurrent.state import select_rows, state_tensors

SYNCHRONIZE_EVERY = 4
"""Steps after which the host reads what a GPU has found: each time it waits for the GPU. On a CPU there
is nothing to wait for: it reads after every step, and a sentence that is done costs no further step."""


class Rules(NamedTuple):
    """How a search proceeds.

    Args:
        choose: (log-probabilities of the next tokens (A, W, V), of the hypotheses so far (A, W)) ->
            the continuations that are kept.
        length_penalty: number of scored tokens, eos included -> what the log-probability is divided
            by. Positive, and never smaller for a longer sentence: when a sentence may stop depends
            on it.
        n_best: hypotheses that are returned for each sentence.
        stop_after: number of ended hypotheses with which a sentence is done; None: see `BeamSearch`.
        eos: the token that ends a sentence.
    """

    choose: Callable[[Tensor, Tensor], Continuations]
    length_penalty: Callable[[int], float]
    n_best: int
    stop_after: int | None
    eos: int


class PendingStep(NamedTuple):
    """What the host will read of a step.

    Args:
        flags: (A + 2,) for each sentence whether it is still searched after the step; whether any
            hypothesis ended; whether any log-probability is not a number.
        history, before: (A, W, T), (A, W) the hypotheses that the step continued, and their
            log-probabilities.
        rows: (A, W) their rows; None unless the pool keeps rows.
        prefixes: (A, W', T) of the continuations.
        ended: (A, W') log-probabilities of those that ended; minus infinity for the others.
        parents: (A, W') which hypothesis each continues.
        order: (A, N) what `Pool.rank` returned.
    """

    flags: Tensor
    history: Tensor
    before: Tensor
    rows: Tensor | None
    prefixes: Tensor
    ended: Tensor
    parents: Tensor
    order: Tensor


class Frontier:
    """The growing hypotheses: W of each of A sentences, all of the same length T.

    `advance` takes a step and waits for nothing; `synchronize` tells the host what the pending steps
    have done. The answers do not depend on how often it is called: a sentence that is done does not
    change any more.

    Args:
        max_length: most tokens of each sentence, eos not counted.
        device: where the model computes.
        rules: of the search.
        keep_rows: remember which row each hypothesis had in its last step.
    """

    def __init__(
        self, max_length: Sequence[int], device: torch.device, rules: Rules, *, keep_rows: bool
    ) -> None:
        batch = len(max_length)
        # The largest length penalty that each sentence can have.
        ceiling = [float(rules.length_penalty(length + 1)) for length in max_length]
        self.rules = rules
        self.sentences = list(range(batch))  # (A) their places in the batch
        self.was_open = [True] * batch  # (A) whether each was searched at the last synchronization
        self.pending: list[PendingStep] = []
        self.rows = torch.arange(batch, device=device)  # (A,) `sentences` on the device
        self.is_open = torch.ones(batch, dtype=torch.bool, device=device)  # (A,)
        self.history = torch.zeros(batch, 1, 0, dtype=torch.long, device=device)  # (A, W, T)
        # (A, W), minus infinity where there is no hypothesis.
        self.log_probabilities = torch.zeros(batch, 1, device=device)
        self.max_length = upload(torch.tensor(max_length, device="cpu"), device)  # (A,)
        self.ceiling = upload(torch.tensor(ceiling, device="cpu"), device)  # (A,)
        self.pool = Pool.empty(
            batch, rules.n_best, max(max_length), device, keep_rows
        )  # ended ones

    def advance(self, chosen: Continuations) -> None:
        """Grow by one token."""
        log_probabilities, parents, tokens = chosen
        length = self.history.shape[2]
        prefixes = self.history.gather(1, parents[..., None].expand(-1, -1, length))
        ends = tokens == self.rules.eos
        at_limit = (self.max_length == length)[:, None]
        ended = log_probabilities.masked_fill(~(ends & self.is_open[:, None]), -math.inf)
        growing = log_probabilities.masked_fill(ends | at_limit, -math.inf)
        order = self.pool.rank(ended / self.rules.length_penalty(length + 1))
        # A hypothesis can only lose probability. Its score is highest if it loses none until the
        # greatest length: if that does not beat the worst of the pool, it need not be continued.
        open_ = (growing / self.ceiling[:, None] > self.pool.scores[:, -1:]).any(1)
        if self.rules.stop_after is not None:
            open_ &= self.pool.count < self.rules.stop_after
        self.is_open = open_ & self.is_open
        before, rows = self.log_probabilities, None
        if self.pool.rows is not None:
            rows = torch.arange(before.numel(), device=before.device).view_as(before)
        any_flags = torch.stack([(ended > -math.inf).any(), log_probabilities.isnan().any()])
        flags = torch.cat([self.is_open, any_flags])
        results = prefixes, ended, parents, order
        self.pending.append(PendingStep(flags, self.history, before, rows, *results))
        self.history = torch.cat([prefixes, tokens[..., None]], 2)
        self.log_probabilities = growing

    def synchronize(self) -> list[Closed]:
        """The sentences that were done with the pending steps.

        Raises:
            ValueError: a log-probability is not a number.
        """
        steps, self.pending = self.pending, []
        # Here the host waits for the device.
        found: list[list[bool]] = torch.stack([step.flags for step in steps]).tolist()
        if any(broken for *_, broken in found):
            raise ValueError("the model's logits are not numbers (NaN or infinite)")
        for step, (*_, any_ended, _) in zip(steps, found, strict=True):
            if any_ended:
                rows = None if step.rows is None else step.rows.gather(1, step.parents)
                self.pool.store(step.order, step.prefixes, step.ended, rows)
        closed = []
        for step, (*is_open, _, _) in zip(steps, found, strict=True):
            places = [i for i, was in enumerate(self.was_open) if was and not is_open[i]]
            if places:
                closed.append(self._close(places, step))
            self.was_open = is_open
        return closed

    def _close(self, places: list[int], step: PendingStep) -> Closed:
        """The answers of some sentences; a hypothesis that ended at this step was not cut off."""
        rows = upload(torch.tensor(places, device="cpu"), step.ended.device)
        ends = torch.zeros_like(step.before)
        ends.scatter_add_(1, step.parents, (step.ended > -math.inf).to(ends.dtype))
        scores = step.before.masked_fill(ends > 0, -math.inf)[rows]
        finished, history = self.pool.select(rows), step.history[rows]
        cut_off = finished.emptied()
        order = cut_off.rank(scores / self.rules.length_penalty(max(1, history.shape[2])))
        cut_off.store(order, history, scores, None if step.rows is None else step.rows[rows])
        return Closed([self.sentences[i] for i in places], finished, cut_off)

    def prune(self) -> Tensor:
        """Drop the sentences that are done; return the places (A',) of those that stay."""
        places = [i for i, is_open in enumerate(self.was_open) if is_open]
        rows = upload(torch.tensor(places, device="cpu"), self.history.device)
        self.sentences = [self.sentences[i] for i in places]
        self.was_open = [True] * len(places)
        for name in ("rows", "is_open", "history", "log_probabilities", "max_length", "ceiling"):
            setattr(self, name, getattr(self, name)[rows])
        self.pool = self.pool.select(rows)
        return rows


@torch.no_grad()
def run_search(
    model: StepModel[ContextT],
    context: ContextT,
    rules: Rules,
    *,
    bos: int,
    max_length: Sequence[int],
    constraints: Sequence[Constraint],
    prune: bool,
    keep_attention: bool,
) -> list[list[Hypothesis]]:
    """Search with any strategy; the arguments are those of `Search.__call__`, with all bounds given."""
    context = model.prepare(context)
    state = model.start(context)
    device = next(state_tensors(state)).device
    frontier = Frontier(max_length, device, rules, keep_rows=keep_attention)
    tokens = torch.full((len(max_length), 1), bos, device=device)
    every = SYNCHRONIZE_EVERY if is_gpu(device) else 1
    trace: list[tuple[Tensor | None, Tensor | None]] = []
    closed: list[Closed] = []
    while True:
        width = tokens.shape[1]
        logits, state, weights = model.step(tokens.flatten(), state, context)
        # In float32 whatever the model's precision; a new tensor, which constraints may change.
        log_probs = F.log_softmax(logits, -1, dtype=torch.float32)
        sentences = frontier.rows[:, None].expand(-1, width).flatten()
        for constraint in constraints:
            log_probs = constraint(frontier.history.flatten(0, 1), sentences, log_probs)
        chosen = rules.choose(log_probs.unflatten(0, (-1, width)), frontier.log_probabilities)
        frontier.advance(chosen)
        tokens, rows = chosen.tokens, None
        if len(frontier.pending) == every:
            done = frontier.synchronize()
            closed += done
            if not any(frontier.was_open):
                trace.append((weights, None))
                return in_order(closed, rules.n_best, trace if keep_attention else None)
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
        if keep_attention:
            trace.append((weights, survivors))
