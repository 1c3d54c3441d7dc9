"""Data sets: reading files, formats, splits, damaged records, corpora on disk, batching."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.data.batching import (
        Batches as Batches,
        bucketed_batches as bucketed_batches,
        pad_sequences as pad_sequences,
    )
    from common.data.corpus import (
        Corpus as Corpus,
        write_corpus as write_corpus,
    )

__all__, __getattr__ = handing_on(__name__, __file__)
