"""What the translator's command line lets a user choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from common.cli.scores import ScoringOptions
from common.config.bounds import Bounds, Count, DropoutRate, Fraction, Layers, Positive, Size
from common.config.changes import LEFT_OUT, MAY_CHANGE, MayChange
from common.config.marks import BASIC, LOCAL, POSITIONAL, File, Folder, Group, Metavar
from common.decoding.options import DecoderOptions, SearchOptions
from common.errors import UserError
from common.evaluation.translation import Tokenization, tokenization_for
from common.models import options as models
from common.models.options import EvaluationOptions, PrefixOptions, TrainedOptions, WriterRunOptions
from common.recurrent.names import CellName

KIND = "translator"
"""What a run of this pipeline is called in its config.json."""

Summary: TypeAlias = Literal["last", "max", "mean"]
"""What the context vector of a sentence is; see `SentenceEncoder`."""

Format = Literal["lines", "tabs", "jsonl", "json", "csv", "phrases"]


@dataclass(frozen=True)
class TextOptions(models.TextOptions):
    """How text becomes the tokens that the model reads and writes."""

    vocabulary_size: Annotated[int | None, Bounds(5)] = 8000
    """Most words of a vocabulary, or the number of subwords that are learnt."""
    joint: bool = False
    """One tokenizer and one vocabulary for both languages."""
    target_subword_model: File | None = None
    """A SentencePiece model of the target language alone; --subword-model is then that of the source."""

    @property
    def subword_files(self) -> dict[str, Path]:
        target = self.target_subword_model
        more = {} if target is None else {"--target-subword-model": target}
        return super().subword_files | more

    def check_files(self) -> None:
        if self.joint and self.target_subword_model is not None:
            raise UserError("--joint has one tokenizer: leave out --target-subword-model.")
        super().check_files()

    def of_side(self, side: str) -> TextOptions:
        """Those of the source, or of the target."""
        if side == "source" or self.target_subword_model is None:
            return self
        return replace(self, subword_model=str(self.target_subword_model))


@dataclass(frozen=True)
class EncoderOptions:
    """The network that reads the source sentence."""

    encoder_cell: CellName = "gru"
    """Recurrent cell; gru_cho resets before the product (Cho et al. 2014)."""
    encoder_layers: Layers = 1
    """Stacked recurrent layers."""
    encoder_size: Size = 256
    """Features of a hidden state in each direction."""
    source_embedding_size: Size = 256
    """Features of a source word."""
    bidirectional: bool = True
    """Read in both directions."""
    summary: Summary = "last"
    """What the context vector is: the last states, or the maximum or mean of all hidden states."""
    reverse_source: bool = False
    """Read the sentence from its end to its beginning (Sutskever et al. 2014)."""
    source_dropout: DropoutRate = 0.3
    """Fraction of the source embedding features dropped while training."""
    encoder_dropout: DropoutRate = 0.3
    """Fraction of the features dropped between layers, and of what the encoder hands on."""
    source_embeddings: File | None = None
    """Start from pretrained source embeddings: a word2vec or GloVe text file."""
    target_embeddings: File | None = None
    """Start from pretrained target embeddings: a word2vec or GloVe text file."""
    share_embeddings: bool = False
    """One embedding matrix for both languages; needs --joint."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(WriterRunOptions):
    """Learn to translate from pairs of sentences."""

    data: Annotated[str, BASIC, MAY_CHANGE, Metavar("DIR")]
    """Folder of sentence pairs, whose format is recognised."""
    source: Annotated[
        str | None, BASIC, MayChange(lambda o: o.source is None, LEFT_OUT), Metavar("LANGUAGE")
    ] = None
    """Language to translate from: the ending of its files, or the name or number of its column."""
    target: Annotated[
        str | None, BASIC, MayChange(lambda o: o.target is None, LEFT_OUT), Metavar("LANGUAGE")
    ] = None
    """Language to translate into."""
    format: Annotated[Format | None, Group("data")] = None
    """What the folder holds, if it is not recognised: line-aligned files such as train.de and train.en
    (lines), tab-separated pairs (tabs), JSON lines, a list in JSON, CSV files, or generated phrases;
    plain or .gz.
    Without splits of its own, 5 % of the pairs become val (--val-fraction) and 5 % test, 5,000 of each
    at most."""
    max_problems: Fraction = 0.01
    """Fraction of the pairs that may be damaged; they are listed and passed over. More is an error."""
    max_tokens: Positive = 100
    """Most tokens on a side of a pair that is trained on."""
    cache_dir: Annotated[Folder | None, MAY_CHANGE, LOCAL] = None
    """Folder for the training text as token ids, made once and shared by all runs; by default unroll/
    in the user's cache folder, $XDG_CACHE_HOME or ~/.cache. No run keeps it."""
    validation_sentences: Annotated[Positive | None, Group("validation")] = None
    """Translate so many sentences at each validation; all by default."""
    monitor: Literal["bleu", "chrf", "exact_match", "loss"] = "bleu"
    """Metric of the validation that chooses the best weights and ends training. Of equal values, the one
    with the lower loss is better."""
    bleu_tokenize: Tokenization | None = None
    """How BLEU finds words, as its signature says; by default zh or char for the languages without
    blanks, which are known by their code or by the references, none for whitespace tokens, and 13a for
    all others."""
    shown_sentences: Annotated[Count, MAY_CHANGE] = 6
    """Validation sentences that TensorBoard shows with translation and alignment."""
    text: TextOptions = TextOptions()
    encoder: EncoderOptions = EncoderOptions()
    decoder: DecoderOptions = DecoderOptions(
        cell="gru", hidden_size=512, inject=("init",), attention="additive", attention_size=256
    )
    search: SearchOptions = SearchOptions(length_penalty=1.4, length_norm="gnmt")

    USUAL_LENGTH = 100

    def check(self) -> None:
        super().check()
        encoder, text = self.encoder, self.text
        if not encoder.share_embeddings:
            return
        if not text.joint:
            raise UserError(
                "--share-embeddings needs one vocabulary of both languages: add --joint."
            )
        sizes = encoder.source_embedding_size, self.decoder.embedding_size
        if sizes[0] != sizes[1]:
            raise UserError(
                "--share-embeddings has one matrix: --source-embedding-size and --embedding-size are "
                f"{sizes[0]} and {sizes[1]}; make them equal."
            )
        if encoder.source_embeddings and encoder.target_embeddings:
            raise UserError(
                "--share-embeddings has one matrix: name one file of embeddings, not two."
            )

    @classmethod
    def of_format(cls, format: int, config: dict[str, Any]) -> dict[str, Any]:
        """As of any writer; in format 1 subwords could also be drawn anew in every epoch."""
        config = super().of_format(format, config)
        if format == 1:
            config["text"] = {**config.get("text", {})}
            config["text"].pop("subword_sampling", None)
        return config

    def scoring(self, references: Sequence[str] = ()) -> dict[str, Any]:
        """How BLEU sees the text, as `evaluate` takes it."""
        tokens = self.text.tokenizer == "whitespace"
        default = tokenization_for(self.target, references, tokens=tokens)
        return {"lowercase": self.text.folded, "tokenize": self.bleu_tokenize or default}


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(EvaluationOptions):
    """Translate a split, and score what was written by sacreBLEU."""

    format: Format | None = None
    """Format of the data, if it is not recognised."""
    source: Annotated[str | None, BASIC, Metavar("FILE|LANGUAGE")] = None
    """A text file, plain or .gz, that is translated line by line in the place of a split: no data folder
    is needed. Or the language to translate from, as the data name it, if not as in training."""
    target: Annotated[str | None, BASIC, Metavar("FILE|LANGUAGE")] = None
    """The file with the translation of each line. Or the language to translate into."""
    bleu_tokenize: Tokenization | None = None
    """How BLEU finds words; as in training by default."""
    replace_unknown: bool = False
    """Put the source word that was looked at most where the model writes the unknown word."""


@dataclass(frozen=True, kw_only=True)
class TranslateOptions(PrefixOptions):
    """Translate line by line: one line out for each line in, blank ones included, in order."""

    file: Annotated[str, POSITIONAL] = "-"
    """A text file, plain or .gz, one sentence a line; - for standard input."""
    encoding: Annotated[str | None, Metavar("NAME")] = None
    """Encoding of the file or of standard input, as cp949 or latin-1; by default UTF-8, or UTF-16 where
    it is in it. What is written is in that of the terminal, UTF-8 as a rule."""
    scores: Annotated[bool, BASIC] = False
    """Write the score before each translation, with a tab between them."""
    alignments: Annotated[File | None, BASIC] = None
    """Write where the model looked, for the first dozen lines, to this PNG file; what is more than a
    page, to several: of where.png, where-1.png, where-2.png, ..."""
    alignments_text: Annotated[File | None, BASIC] = None
    """Write which words the model looked at to this text file, a line for each translation: pairs of a
    source word and a target word, as in 0-0 1-2, counted from 0 between blanks (Pharaoh format)."""
    replace_unknown: Annotated[bool, BASIC] = False
    """Put the source word that was looked at most where the model writes the unknown word."""
    prefix_file: File | None = None
    """As --prefix, from a text file with a line for each line that is translated; blank for none."""


@dataclass(frozen=True, kw_only=True)
class LogprobOptions(TrainedOptions):
    """Print how likely a run finds given translations, without any search.

    A line for each pair: the natural logarithm of the translation's probability, its end included, a
    tab, and its number of tokens. A summary goes to standard error.
    """

    run: Annotated[Path, POSITIONAL]
    """A folder that `train` wrote."""
    source: Annotated[str, POSITIONAL]
    """A text file, plain or .gz, one sentence a line; - for standard input."""
    translations: Annotated[str, POSITIONAL]
    """A text file with the translation of each line."""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(ScoringOptions):
    """Score translations, whoever wrote them, by reference translations, line by line."""

    file: Annotated[str, POSITIONAL]
    """A text file of translations, plain or .gz, one a line; - for standard input."""
    references: Annotated[tuple[str, ...], POSITIONAL, Metavar("REFERENCE")]
    """Files of reference translations, with the same lines; more than one where a sentence has several
    references."""
    lowercase: Annotated[bool, BASIC] = False
    """Score lower-cased text, as the evaluation of a model that writes lower case does."""
    bleu_tokenize: Annotated[Tokenization | None, BASIC] = None
    """How BLEU finds words, as its signature says; by default zh or char for the languages without
    blanks, which are known by the ending of the first reference or by its text, and 13a for all
    others."""
