"""What the translator's command line lets a user choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional

from common.cli.command_line import EvaluationOptions, WritingOptions
from common.config.bounds import Amount, Bounds, Count, DropoutShare, Positive, Share
from common.config.changes import MAY_CHANGE, MayChange
from common.decoding.options import CellName, DecoderOptions, SearchOptions
from common.errors import UserError
from common.evaluation.translation import Tokenization, tokenization_for
from common.models.options import WriterRunOptions
from seq2seq.names import Summary

KIND = "translator"
"""What a run of this pipeline is called in its config.json."""


Format = Literal["lines", "tabs", "jsonl", "csv", "phrases"]


@dataclass(frozen=True)
class TextOptions:
    """How text becomes the tokens that the model reads and writes."""

    tokenizer: Literal["words", "characters", "subwords"] = "words"
    """Words with their punctuation, characters, or SentencePiece subwords learnt from the training
    text."""
    lowercase: bool = True
    """Fold to lower case; scores are then of lower-cased text, and say so."""
    min_count: Positive = 2
    """Words that are rarer in the training text are unknown to the model."""
    vocabulary_size: Annotated[int, Bounds(5)] = 8000
    """Most words of a vocabulary; how many subwords are learnt."""
    subword_model: Literal["bpe", "unigram"] = "bpe"
    """How subwords are learnt: byte-pair encoding or a unigram language model."""
    joint: bool = False
    """One tokenizer and one vocabulary for both languages."""
    subword_sampling: Amount = 0.0
    """Segment the training text anew in every epoch: a unigram model draws a segmentation of
    probability P with P^THIS (Kudo 2018; try 0.3), byte-pair encoding leaves out each merge with
    probability THIS (Provilkov 2020; try 0.1). 0 to segment it always alike."""


@dataclass(frozen=True)
class EncoderOptions:
    """The network that reads the source sentence."""

    encoder_cell: CellName = "gru"
    """Recurrent cell; gru_cho resets before the product, as the paper has it."""
    encoder_layers: Positive = 1
    """Stacked layers."""
    encoder_size: Positive = 256
    """Features of a hidden state in each direction."""
    source_embedding_size: Positive = 256
    """Features of a source word."""
    bidirectional: bool = True
    """Read in both directions."""
    summary: Summary = "last"
    """What the context vector is: the last states, or max or mean of all hidden states."""
    reverse_source: bool = False
    """Read the sentence from its end to its beginning (Sutskever 2014)."""
    source_dropout: DropoutShare = 0.3
    """Share of source embedding features dropped while training."""
    encoder_dropout: DropoutShare = 0.3
    """Share of features dropped between layers and of what the encoder hands on."""
    source_embeddings: Path | None = None
    """Start from pretrained source embeddings: a word2vec or GloVe text file."""
    target_embeddings: Path | None = None
    """The same for the target."""
    share_embeddings: bool = False
    """One embedding matrix for both languages; needs --joint."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(WriterRunOptions):
    """Learn to translate from pairs of sentences."""

    data: Annotated[str, MAY_CHANGE]
    """Folder of line-aligned files (train.de + train.en, .gz or plain), or tab-separated pairs, JSON
    lines, CSV, or generated phrases; recognised by what it holds. Without splits of its own, 5 % of
    the pairs become val and 5 % test, 5,000 of each at most."""
    format: Format | None = None
    """Which of those the folder holds, if it is not recognised."""
    source: Annotated[str | None, MayChange(lambda o: o.source is None)] = None
    """Language to translate from: the ending of its files, or the name of its column."""
    target: Annotated[str | None, MayChange(lambda o: o.target is None)] = None
    """Language to translate into."""
    max_problems: Share = 0.01
    """Share of damaged lines that are listed and passed over; more is an error."""
    max_tokens: Positive = 100
    """Pairs with more tokens than this on a side are not trained on."""
    cache_dir: Annotated[Path, MAY_CHANGE] = Path("runs/corpus-cache")
    """Folder for the training text as token ids, made once and shared by all runs."""
    validation_sentences: Positive | None = None
    """Translate so many sentences at each validation; all by default."""
    monitor: Literal["bleu", "chrf", "exact_match"] = "bleu"
    """The validation metric that chooses the best weights and ends training."""
    bleu_tokenize: Tokenization | None = None
    """How BLEU finds words, as its signature says: 13a, or intl, zh, char, none, ja-mecab, ko-mecab;
    by default zh and char for the languages without blanks that are named by their code, else 13a."""
    shown_sentences: Annotated[Count, MAY_CHANGE] = 6
    """Validation sentences that TensorBoard shows with translation and alignment."""
    text: TextOptions = TextOptions()
    encoder: EncoderOptions = EncoderOptions()
    decoder: DecoderOptions = DecoderOptions(
        cell="gru", hidden_size=512, inject=("init",), attention="additive", attention_size=256
    )
    search: SearchOptions = SearchOptions(length_penalty=1.4, length_norm="gnmt", max_length=100)

    def check(self) -> None:
        super().check()
        encoder, text = self.encoder, self.text
        if encoder.share_embeddings and not text.joint:
            raise UserError(
                "--share-embeddings needs one vocabulary for both languages: add --joint."
            )
        sizes = encoder.source_embedding_size, self.decoder.embedding_size
        if encoder.share_embeddings and sizes[0] != sizes[1]:
            raise UserError(
                "--share-embeddings has one matrix: --source-embedding-size and --embedding-size are "
                f"{sizes[0]} and {sizes[1]}; make them equal."
            )
        if encoder.share_embeddings and encoder.source_embeddings and encoder.target_embeddings:
            raise UserError(
                "--share-embeddings has one matrix: name one file of embeddings, not two."
            )
        if text.subword_sampling and text.tokenizer != "subwords":
            raise UserError("--subword-sampling draws subwords: add --tokenizer subwords.")
        if text.subword_sampling > 1 and text.subword_model == "bpe":
            raise UserError(
                f"--subword-sampling {text.subword_sampling} is no probability, which it is of merges "
                "(bpe): take 0 to 1."
            )

    def scoring(self) -> dict[str, Any]:
        """How BLEU sees the text, as `evaluate` takes it."""
        tokenize = self.bleu_tokenize or tokenization_for(self.target)
        return {"lowercase": self.text.lowercase, "tokenize": tokenize}


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(EvaluationOptions):
    """Translate a split by beam search and score what was written, by sacreBLEU."""

    format: Format | None = None
    """What the data are, if they are not recognised."""
    source: str | None = None
    """Language to translate from, as the data name it; as in training by default."""
    target: str | None = None
    """Language to translate into."""
    bleu_tokenize: Tokenization | None = None
    """How BLEU finds words: 13a, or intl, zh, char, none, ja-mecab, ko-mecab; as in training by
    default."""

    def arguments(self) -> dict[str, Any]:
        names = ("format", "source", "target", "bleu_tokenize")
        return super().arguments() | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class TranslateOptions(WritingOptions):
    """Translate line by line: one line out for each line in, blank ones included, in order."""

    file: Positional[str] = "-"
    """A text file, plain or .gz, one sentence a line; - for standard input."""
    scores: bool = False
    """Write the score before each translation, with a tab between them."""
    alignments: Path | None = None
    """Write where the model looked, for the first dozen lines, to this PNG."""
    replace_unknown: bool = False
    """Put the source word that was looked at most where the model writes the unknown word."""
