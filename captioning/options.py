"""What the captioner's command line lets a user choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from common.cli.scores import ScoringOptions
from common.config.bounds import Bounds, Count, DropoutRate, Fraction, Positive, Rate, Size
from common.config.changes import MAY_CHANGE
from common.config.marks import BASIC, HIDDEN, LOCAL, POSITIONAL, File, Folder, Group, Metavar
from common.models.options import (
    EvaluationOptions,
    PrefixOptions,
    TextOptions,
    TrainedOptions,
    WriterRunOptions,
)

KIND = "captioner"
"""What a run of this pipeline is called in its config.json."""

Fit: TypeAlias = Literal["squash", "crop", "pad"]
"""How a picture becomes a square; see `ImageTransform`."""

MOST_PIXELS = 4096
"""On a side of a network's input."""

Format = Literal["flickr", "csv", "karpathy", "coco", "jsonl", "json", "text", "scenes"]


@dataclass(frozen=True)
class EncoderOptions:
    """The network that looks at the pictures."""

    encoder: str = "mobilenet_v2"
    """A classification network of torchvision, or small: a small CNN learnt from scratch."""
    weights: Annotated[str, Metavar("imagenet|none|FILE")] = "imagenet"
    """A state dict of the network, none, or imagenet, which torchvision downloads."""
    fine_tune_from: Annotated[str | None, Metavar("STAGE")] = None
    """Learn the network too, from this stage on: its name, or how many of the last stages; by default
    it is frozen, and computed once."""
    encoder_learning_rate: Rate = 1e-4
    """Learning rate of the network's own weights where they are learnt."""
    memory_size: Annotated[int, Bounds(0, 65_536)] = 512
    """Features that each region is projected to for attention; 0 for no projection."""
    vector_size: Annotated[int, Bounds(0, 65_536)] = 512
    """Features that the pooled vector is projected to; 0 for no projection."""
    normalize: bool = True
    """Normalise the features of each region first (layer normalisation)."""
    feature_dropout: DropoutRate = 0.3
    """Fraction of the features dropped while training."""
    features: Annotated[Folder | None, MAY_CHANGE] = None
    """Folder of features of the pictures, of CLIP, bottom-up attention or any other network; no network
    then looks at the pictures. It holds features.npy (N, S, C) or (N, C) with names.txt, or a .npy or
    .npz file for each picture."""
    feature_size: Annotated[Size | None, HIDDEN, MAY_CHANGE] = None
    """Features of a region in that folder; found there, and kept by the run."""
    mirror: bool = False
    """Show each picture mirrored half of the time, unless its caption says left or right."""
    image_size: Annotated[int, Bounds(16, MOST_PIXELS)] = 224
    """Pixels on a side of the network's square input."""
    fit: Fit = "squash"
    """How a picture becomes a square."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(WriterRunOptions):
    """Learn to describe the pictures of a folder."""

    data: Annotated[str, BASIC, MAY_CHANGE, Metavar("DIR")]
    """Folder of pictures with captions, whose format is recognised."""
    format: Annotated[Format | None, Group("data")] = None
    """What the folder holds, if it is not recognised: Flickr8k or Flickr30k (flickr), tables with named
    columns (csv), Karpathy's JSON, annotations as COCO has them, JSON lines, lists in JSON, a text file
    beside each picture (text), or generated scenes."""
    images: Annotated[Folder | None, MAY_CHANGE] = None
    """Folder of the pictures, if it is elsewhere."""
    max_problems: Fraction = 0.01
    """Fraction of the rows, of the captions and of the pictures of all splits that may be damaged; they
    are listed and passed over. More is an error."""
    word_embeddings: File | None = None
    """Start from pretrained word embeddings: a word2vec or GloVe text file."""
    max_words: Positive = 40
    """Tokens after which a caption is cut that is learnt from, or scored for loss and perplexity."""
    captions_per_image: Positive | None = None
    """Learn from so many captions of an image in an epoch, sampled anew in each; from all by default.
    Where the network is learnt too, fewer captions cost less, and it sees as many images."""
    cache_dir: Annotated[Folder | None, MAY_CHANGE, LOCAL] = None
    """Folder for the pictures' features, computed once and shared by all runs; by default unroll/ in the
    user's cache folder, $XDG_CACHE_HOME or ~/.cache. No run keeps it."""
    validation_images: Annotated[Positive | None, Group("validation")] = None
    """Caption so many images at each validation; all by default."""
    monitor: Literal[
        "cider_d", "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "true_captions", "loss"
    ] = "cider_d"
    """Metric of the validation that chooses the best weights and ends training; true_captions is for
    generated scenes alone. Of equal values, the one with the lower loss is better."""
    shown_images: Annotated[Count, MAY_CHANGE] = 8
    """Validation images that TensorBoard shows with their captions as they improve."""
    text: TextOptions = TextOptions()
    encoder: EncoderOptions = EncoderOptions()

    @classmethod
    def of_format(cls, format: int, config: dict[str, Any]) -> dict[str, Any]:
        """As of any writer; of the text, earlier versions had one option, outside of its group."""
        config = super().of_format(format, config)
        if "min_count" in config:
            config = {**config, "text": {"min_count": config["min_count"]}}
            del config["min_count"]
        return config


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(EvaluationOptions):
    """Caption a split, and score what was written by the rules of the COCO caption code."""

    images: Folder | None = None
    """Folder of the pictures, if they are elsewhere than the data."""
    format: Format | None = None
    """Format of the data, if it is not recognised."""
    features: Folder | None = None
    """Folder of features, if it is no longer where the run was trained on it."""
    cache_dir: Folder | None = None
    """Folder for the pictures' features; by default as in training."""


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(PrefixOptions):
    """Print a caption for each picture."""

    images: Annotated[tuple[Path, ...], POSITIONAL, Metavar("IMAGE")]
    """Image files, or folders of them."""
    features: Folder | None = None
    """Folder of features of the pictures, by their names, for a run that was trained on features."""
    json: Annotated[bool, BASIC] = False
    """Print one JSON object for each picture: its path, captions and scores."""
    picture: Annotated[File | None, BASIC] = None
    """Write a contact sheet of the pictures with their captions to this PNG file; what is more than
    a page, to several: of sheet.png, sheet-1.png, sheet-2.png, ..."""
    attention: Annotated[bool, BASIC] = False
    """With --picture: show, word by word, where in each picture the model looked."""


@dataclass(frozen=True, kw_only=True)
class LogprobOptions(TrainedOptions):
    """Print how likely a run finds given captions, without any search.

    A line for each caption: the natural logarithm of its probability, its end included, a tab, and its
    number of tokens. A summary goes to standard error.
    """

    run: Annotated[Path, POSITIONAL]
    """A folder that `train` wrote."""
    captions: Annotated[Path, POSITIONAL, Metavar("FILE")]
    """A text file with a line for each caption, as `caption` prints them: the picture's path, a tab, and
    the caption."""
    features: Folder | None = None
    """Folder of features of the pictures, by their names, for a run that was trained on features."""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(ScoringOptions):
    """Score captions, whoever wrote them, by the reference captions of a data set.

    Neither its pictures nor a run are needed."""

    captions: Annotated[str, POSITIONAL]
    """A file of captions, or - for standard input: JSON lines, as evaluate and caption --json write
    them; COCO results; one JSON object from image to caption; a table; or what caption prints; plain or
    .gz. Images are named by their official id, or by their name with or without folder and ending."""
    data: Annotated[str, BASIC, Metavar("DIR")]
    """Folder of the data set that has the references, whose format is recognised."""
    split: Annotated[str, BASIC] = "val"
    """Which part of the data: val, test, or any other split."""
    subset: Annotated[bool, BASIC] = False
    """Score the images that have a caption in the file, where others of the split have none."""
    tokens: bool = False
    """The captions are tokens already, with blanks between them: compare them as they are."""
    val_fraction: Fraction | None = None
    """As in the training, where it had one: the split was drawn by it."""
    format: Format | None = None
    """Format of the data, if it is not recognised."""
    max_problems: Fraction = 0.01
    """Fraction of the rows and of the captions of the data set that may be damaged."""
