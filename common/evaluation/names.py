"""The names that scores and command lines share. Nothing is imported here: `--help` is quick."""

from __future__ import annotations

from typing import Literal, TypeAlias

Tokenization: TypeAlias = Literal["13a", "intl", "zh", "char", "none", "ja-mecab", "ko-mecab"]
"""How BLEU finds words; see `score_translations`. Not among them: sacreBLEU's tokenizers that download
a model when they are first used."""
