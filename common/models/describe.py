"""What a trained model is, in a few words."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from common.models.encoder_decoder import EncoderDecoder


def describe(models: Sequence[EncoderDecoder]) -> str:
    """The decoder and the number of parameters of a model, or of the models of an ensemble.

    As "GRU, hidden size 512, additive attention, 3,120,233 parameters".
    """
    decoder = models[0].decoder
    parts = [f"ensemble of {len(models)}"] if len(models) > 1 else []
    recurrent = getattr(decoder, "recurrent", None)
    if recurrent is None:  # a decoder of somebody else
        parts.append(type(decoder).__name__)
    else:
        layers = f", {recurrent.num_layers} layers" if recurrent.num_layers > 1 else ""
        parts.append(f"{_cell_name(recurrent)}{layers}, hidden size {recurrent.hidden_size}")
    attention = getattr(decoder, "attention", None)
    if attention is None:
        parts.append("no attention")
    else:
        parts.append(f"{type(attention).__name__.removesuffix('Attention').lower()} attention")
    parameters = {id(each): each.numel() for model in models for each in model.parameters()}
    return ", ".join([*parts, f"{sum(parameters.values()):,} parameters"])


def _cell_name(recurrent: nn.Module) -> str:
    """The class of the cell: LSTM, MinGRU, ..."""
    kernel = getattr(recurrent, "kernel", None)
    cell = kernel if kernel is not None else recurrent.cells[0]  # type: ignore[index]
    return type(cell).__name__.removesuffix("Cell")
