"""A translator from its options, and from the folder of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.compute.device import choose_device
from common.decoding.options import cell_by_name
from common.errors import UserError
from common.models.encoder_decoder import EncoderDecoder
from common.models.ensemble import EnsembleModel
from common.runs.run import Run
from common.text.language import Language
from common.text.vocabulary import Vocabulary
from seq2seq.encoder import SentenceEncoder
from seq2seq.options import KIND, TrainOptions
from seq2seq.translator import Translator


def build_model(options: TrainOptions, source: Vocabulary, target: Vocabulary) -> EncoderDecoder:
    """The network of these options for two vocabularies."""
    chosen = options.encoder
    encoder = SentenceEncoder(
        len(source),
        chosen.source_embedding_size,
        chosen.encoder_size,
        cell=cell_by_name(chosen.encoder_cell),
        num_layers=chosen.encoder_layers,
        bidirectional=chosen.bidirectional,
        summary=chosen.summary,
        attention=options.decoder.attention != "none",
        reverse=chosen.reverse_source,
        embedding_dropout=chosen.source_dropout,
        layer_dropout=chosen.encoder_dropout,
        output_dropout=chosen.encoder_dropout,
    )
    decoder = options.decoder.build(len(target), encoder.context_size, encoder.memory_size)
    if chosen.share_embeddings:
        encoder.embedding.weight = decoder.embedding.weight
    return options.loss.make_model(encoder, decoder)


def load_translator(folder: Path, device: str = "auto") -> Translator:
    """The translator of a run folder; see `Translator.from_run`."""
    run = Run.open(folder, KIND)
    options = run.read_config(TrainOptions)
    source = Language.load(run.existing, "source_")
    target = Language.load(run.existing, "target_")
    model = build_model(options, source.vocabulary, target.vocabulary)
    run.load_model(model)
    return Translator(
        model.to(choose_device(device)),
        source,
        target,
        options.search.strategy(),
        options.search.search_precision,
    )


def load_ensemble(folders: Sequence[Path], device: str = "auto") -> Translator:
    """The translator of several run folders together; see `Translator.from_run`."""
    members = [load_translator(folder, device) for folder in folders]
    first = members[0]
    for folder, member in zip(folders, members, strict=True):
        for side in ("source", "target"):
            ours, theirs = getattr(first, side), getattr(member, side)
            if (
                ours.vocabulary.tokens != theirs.vocabulary.tokens
                or ours.tokenizer.to_dict() != theirs.tokenizer.to_dict()
            ):
                raise UserError(
                    f"{folder} has another {side} vocabulary than {folders[0]}: an ensemble needs "
                    "runs that were trained on the same text with the same --tokenizer."
                )
    if len(members) == 1:
        return first
    models = [m.model for m in members if isinstance(m.model, EncoderDecoder)]
    return Translator(
        EnsembleModel(models), first.source, first.target, first.search, first.precision
    )
