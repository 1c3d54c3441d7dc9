"""New texts by a language model."""

from __future__ import annotations

import torch

from common.data.texts import TextTokens
from common.decoding.constraints import Forbidden
from common.decoding.search import Search
from common.models.language_model import LanguageModel, Prefix
from common.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary


class TextWriter:
    """Continues texts.

    Args:
        model: in evaluation mode.
        words: its vocabulary.
        form: how texts become tokens; with lines, a text is a line and begins with the start token.
    """

    def __init__(self, model: LanguageModel, words: Vocabulary, form: TextTokens) -> None:
        self.model, self.words, self.form = model, words, form

    def write(self, prefix: str, search: Search, seed: int = 0) -> list[str]:
        """Texts that begin with a prefix; the unknown token is never written.

        Args:
            prefix: if it is empty, texts that are no lines begin after the most frequent token.
            search: how each next token is found; with `Sampling`, several texts may be.
            seed: of what is drawn.
        """
        tokens = self.form.split(prefix)[0] if prefix.strip() else []
        first = [BOS] if self.form.lines else [] if tokens else [len(SPECIALS)]
        device = next(self.model.parameters()).device
        start = torch.tensor([first + self.words.encode(tokens)], device=device)
        (found,) = search(
            self.model, Prefix(start), bos=BOS, eos=EOS, pad=PAD, constraints=[Forbidden([UNK])],
            generator=torch.Generator(device).manual_seed(seed),
        )  # fmt: skip
        return [self.form.join([*tokens, *self.words.decode(each.tokens)]) for each in found]
