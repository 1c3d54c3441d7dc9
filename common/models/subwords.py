"""The subwords that a model goes on with when it begins with the weights of a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from common.models.options import TextOptions
from common.runs.run import Run
from common.text.language import Language
from common.text.subword import SubwordTokenizer


def subwords_of(folder: Path, text: TextOptions, name: str = "") -> SubwordTokenizer | None:
    """The subwords of a run that learnt its own by the same options; None if it did not.

    What else the new text would teach shares few tokens with them.

    Args:
        folder: of the run.
        text: the options of the new one.
        name: what the names of its language's files begin with.

    Raises:
        UserError: there is no such run, or it is damaged.
    """
    if text.tokenizer != "subwords":
        return None
    run, now = Run.open(folder), asdict(text)
    there = run.config.get("text", now)  # a model that was built in code has none
    if any(there.get(each, now[each]) != now[each] for each in now if each != "min_count"):
        return None
    tokenizer = Language.load(run.existing, name).tokenizer
    return tokenizer if isinstance(tokenizer, SubwordTokenizer) else None
