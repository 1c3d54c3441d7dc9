"""Image in, sentence out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captioning.captioner import Caption, Captioner

__all__ = ["Caption", "Captioner"]


def __getattr__(name: str) -> Any:
    """What users import from here; only then, since PyTorch takes seconds and `--help` needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from captioning import captioner

    return getattr(captioner, name)
