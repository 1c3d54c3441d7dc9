"""The network of a translator, as the options of a run describe it."""

from __future__ import annotations

from common.models.encoder_decoder import EncoderDecoder
from common.text.vocabulary import Vocabulary
from seq2seq.encoder import SentenceEncoder
from seq2seq.options import TrainOptions


def build_model(options: TrainOptions, source: Vocabulary, target: Vocabulary) -> EncoderDecoder:
    """The network of these options for two vocabularies."""
    chosen = options.encoder
    encoder = SentenceEncoder(
        len(source), chosen.source_embedding_size, chosen.encoder_size,
        cell=chosen.encoder_cell, num_layers=chosen.encoder_layers,
        bidirectional=chosen.bidirectional, summary=chosen.summary,
        attention=options.decoder.attention != "none", reverse=chosen.reverse_source,
        embedding_dropout=chosen.source_dropout, layer_dropout=chosen.encoder_dropout,
        output_dropout=chosen.encoder_dropout,
    )  # fmt: skip
    decoder = options.decoder.build(len(target), encoder.context_size, encoder.memory_size)
    if chosen.share_embeddings:
        encoder.embedding.weight = decoder.embedding.weight
    return options.loss.make_model(encoder, decoder)
