"""The answers of a search: what was found for each sentence, in the order of the batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from common.compute.device import to_host
from common.decoding.attention_trace import AttentionTrace
from common.decoding.hypotheses import Hypothesis, Pool


@dataclass(frozen=True)
class Closed:
    """Sentences that are done.

    Args:
        sentences: (D) their places in the batch.
        finished: the best of their hypotheses that ended.
        cut_off: the best of those that were growing; they count where too few have ended.
    """

    sentences: list[int]
    finished: Pool
    cut_off: Pool


def in_order(
    closed: list[Closed], n_best: int, trace: AttentionTrace | None
) -> list[list[Hypothesis]]:
    """The answers of all sentences in the order of the batch, brought to the host at once.

    Args:
        closed: all sentences of the batch, in groups.
        n_best: most hypotheses of each.
        trace: where attention looked; None if it is not to be kept.
    """
    sentences = [sentence for group in closed for sentence in group.sentences]
    pools = (
        Pool.join([group.finished for group in closed]),
        Pool.join([g.cut_off for g in closed]),
    )
    finished, cut_off = to_host(pools)
    answers: dict[int, list[tuple[Hypothesis, int]]] = {
        sentence: (ended + others)[:n_best]
        for sentence, ended, others in zip(
            sentences,
            finished.to_lists(finished=True),
            cut_off.to_lists(finished=False),
            strict=True,
        )
    }
    ordered = [answers[sentence] for sentence in range(len(answers))]
    if trace is not None:
        flat = [pair for best in ordered for pair in best]
        lengths = [len(hypothesis.tokens) for hypothesis, _ in flat]
        ended = [hypothesis.finished for hypothesis, _ in flat]
        weights = trace.gather([row for _, row in flat], lengths, ended)
        if weights is not None:
            each = iter(weights)
            return [
                [replace(hypothesis, attention=next(each)) for hypothesis, _ in best]
                for best in ordered
            ]
    return [[hypothesis for hypothesis, _ in best] for best in ordered]
