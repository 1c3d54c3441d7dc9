"""What a writer that begins with the weights of another takes of its vocabularies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.config.plain import plain
from common.models.options import TextOptions
from common.runs.run import Run
from common.text.language import Language
from common.text.subword import SubwordTokenizer
from common.text.vocabulary import Vocabulary


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
    run, now = Run.open(folder), plain(text)
    there = run.config.get("text")
    there = there if isinstance(there, dict) else now  # a model that was built in code has none
    if any(there.get(each, now[each]) != now[each] for each in now if each != "min_count"):
        return None
    tokenizer = Language.load(run.existing, name).tokenizer
    return tokenizer if isinstance(tokenizer, SubwordTokenizer) else None


def token_rows(
    part: str, here: Vocabulary, there: Vocabulary
) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """The weights of a part of an `EncoderDecoder` that have a row for each token, as `start_from` takes
    them.

    Args:
        part: "encoder" or "decoder".
        here: its vocabulary.
        there: that of the other model.
    """
    names = ("embedding.weight", "output.weight", "output.bias")
    return {f"{part}.{name}": (here.tokens, there.tokens) for name in names}
