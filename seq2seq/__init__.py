"""Sentence in, sentence out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq.translator import Translation, Translator

__all__ = ["Translation", "Translator"]


def __getattr__(name: str) -> Any:
    """What users import from here; only then, since PyTorch takes seconds and `--help` needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from seq2seq import translator

    return getattr(translator, name)
