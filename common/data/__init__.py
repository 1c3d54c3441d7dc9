"""Data sets: reading files, formats, splits, damaged records, corpora on disk, batching."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.data.batching import Batches, bucketed_batches, pad_sequences
    from common.data.corpus import Corpus, write_corpus

__all__, __getattr__ = handing_on(__name__, __file__)
