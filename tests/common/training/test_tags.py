from __future__ import annotations

import re
from functools import cmp_to_key
from itertools import groupby

import pytest

from common.training.tags import best_tags, custom_scalars, picture_tag, scalar_tag

MONITORS = ("bleu", "cider_d", "exact_match", "true_captions", "accuracy", "rouge_l", "loss")


def compared(a: str, b: str) -> int:
    """The order of TensorBoard's pages: slash, underscore and digits come first, and numbers are
    compared as numbers (`compareTagNames` of its source)."""
    first, second = re.findall(r"\d+|.", a), re.findall(r"\d+|.", b)
    for x, y in zip(first, second, strict=False):
        if x.isdecimal() and y.isdecimal():
            if int(x) != int(y):
                return int(x) - int(y)
        elif (breaks := [each in "/_" or each.isdecimal() for each in (x, y)]) != [True, True]:
            if any(breaks):
                return -1 if breaks[0] else 1
            if x != y:
                return -1 if x < y else 1
    return len(first) - len(second)


def groups(tags: list[str]) -> list[str]:
    ordered = sorted(tags, key=cmp_to_key(compared))
    return [group for group, _ in groupby(ordered, lambda tag: tag.partition("/")[0])]


@pytest.mark.parametrize("monitor", MONITORS)
def test_scores_come_first_and_the_copy_for_hparams_last(monitor):
    metrics = dict.fromkeys((*MONITORS, "perplexity", "seconds"), 1.0)
    names = [f"validation/{name}" for name in metrics]
    names += ["train/loss", "train/learning_rate", "speed/tokens_per_second", "memory/gpu_peak_gib"]
    tags = [scalar_tag(name, monitor) for name in names]
    assert len(set(tags)) == len(names)
    first = [tag for tag in tags if tag.startswith("1 ")]
    losses = {"1 scores and loss/training loss", "1 scores and loss/validation loss"}
    expected = losses if monitor == "loss" else losses | {f"1 scores and loss/{monitor}"}
    assert set(first) == expected  # few enough for a screen
    best = list(best_tags(metrics, monitor))
    pictures = [picture_tag("captions"), picture_tag("with attention/0")]
    shown = groups(tags + pictures + best)
    assert shown[:2] == ["1 scores and loss", "2 validation"] and shown[-1] == "(best)"
    assert shown.index("4 pictures") > shown.index("3 training")
    assert sorted(tags + best)[0] == f"(best)/{monitor}", "the first column of HParams"


def test_without_a_monitored_metric_all_are_alike():
    assert scalar_tag("validation/a") == "1 scores and loss/a"
    assert best_tags({"a": 1.0, "seconds": 2.0}) == {"(best)/a": 1.0}


def test_other_names_are_their_own_tags():
    assert scalar_tag("lr", "bleu") == "lr" and scalar_tag("mine/loss", "bleu") == "mine/loss"


def test_a_chart_matches_its_figures_and_no_other():
    pages = custom_scalars({"F": ("validation/f(1)", "validation/bleu")}, "f(1)")
    (_, patterns) = pages["scores"]["F"]
    assert list(pages["scores"]) == ["F"], "the monitored metric is in one of them"
    for name, matches in (("f(1)", True), ("bleu", True), ("bleu4", False), ("f1", False)):
        tag = scalar_tag(f"validation/{name}", "f(1)")
        assert any(re.match(pattern, tag) for pattern in patterns) == matches
