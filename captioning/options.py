"""What the captioner's command line lets a user choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, Suppress

from captioning.names import Fit
from common.cli.command_line import EvaluationOptions, WritingOptions
from common.config.bounds import Bounds, Count, DropoutShare, Positive, Rate, Share
from common.config.changes import MAY_CHANGE
from common.models.options import WriterRunOptions

KIND = "captioner"
"""What a run of this pipeline is called in its config.json."""


Format = Literal["flickr", "csv", "karpathy", "coco", "jsonl", "scenes"]


@dataclass(frozen=True)
class EncoderOptions:
    """The network that looks at the pictures."""

    encoder: str = "mobilenet_v2"
    """A classification network of torchvision by name, or "small": a small CNN learnt from scratch."""
    weights: str = "imagenet"
    """imagenet (torchvision downloads them), none, or the path of a state dict."""
    fine_tune_from: str | None = None
    """Learn the network too, from this stage on: its name, or how many of the last stages; frozen
    and computed once if not given."""
    encoder_learning_rate: Rate = 1e-4
    """Learning rate of the network's own weights where they are learnt."""
    memory_size: Count = 512
    """Features that each region is projected to for attention; 0 to leave them as they are."""
    vector_size: Count = 512
    """Features that the pooled vector is projected to; 0 to leave it as it is."""
    normalize: bool = True
    """Normalise the features of each region (layer normalisation) before anything else."""
    feature_dropout: DropoutShare = 0.3
    """Share of the features dropped while training."""
    features: Annotated[Path | None, MAY_CHANGE] = None
    """Folder of features of the pictures, of CLIP, bottom-up attention, or any other network; then no
    network looks at the pictures. features.npy (N, S, C) or (N, C) with names.txt, or a .npy or .npz
    file for each picture; see captioning/features/folder.py."""
    feature_size: Annotated[Suppress[int | None], MAY_CHANGE] = None
    """Features of a region in that folder; found there, and kept by the run."""
    mirror: bool = False
    """Show each picture mirrored half of the time, unless its caption says left or right."""
    image_size: Annotated[int, Bounds(16)] = 224
    """Pixels per side of the network's square input."""
    fit: Fit = "squash"
    """How a picture becomes a square."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(WriterRunOptions):
    """Learn to describe the pictures of a folder."""

    data: Annotated[str, MAY_CHANGE]
    """Folder of pictures with captions: Flickr8k/30k, a CSV, Karpathy's JSON, COCO, JSON lines, or
    generated scenes; recognised by what it holds."""
    format: Format | None = None
    """Which of those the folder holds, if it is not recognised."""
    images: Annotated[Path | None, MAY_CHANGE] = None
    """Folder of the pictures, if it is elsewhere."""
    max_problems: Share = 0.01
    """Share of damaged pictures and captions that are listed and passed over; more is an error."""
    min_count: Positive = 2
    """Words of the training captions that are rarer are unknown to the model."""
    word_embeddings: Path | None = None
    """Start from pretrained word embeddings: a word2vec or GloVe text file."""
    max_words: Positive = 40
    """Longer training captions are cut."""
    captions_per_image: Positive | None = None
    """Learn from so many captions of an image in an epoch, sampled anew in each; from all by default.
    Where the network is learnt too, fewer captions cost less, and it sees as many images."""
    cache_dir: Annotated[Path, MAY_CHANGE] = Path("runs/feature-cache")
    """Folder for the pictures' features, computed once and shared by all runs."""
    validation_images: Positive | None = None
    """Caption so many images at each validation; all by default."""
    monitor: Literal["cider_d", "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "true_captions"] = (
        "cider_d"
    )
    """The validation metric that chooses the best weights and ends training; true_captions is of
    generated scenes alone."""
    shown_images: Annotated[Count, MAY_CHANGE] = 8
    """Validation images that TensorBoard shows with their captions as they improve."""
    encoder: EncoderOptions = EncoderOptions()


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(EvaluationOptions):
    """Caption a split by beam search and score what was written, by the COCO caption code's rules."""

    images: Path | None = None
    """Folder of the pictures, if they are elsewhere than the data."""
    format: Format | None = None
    """What the data are, if they are not recognised."""
    features: Path | None = None
    """Folder of features, if it is no longer where the run was trained on it."""

    def arguments(self) -> dict[str, Any]:
        names = ("images", "format", "features")
        return super().arguments() | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(WritingOptions):
    """Print a caption for each picture."""

    images: Positional[tuple[Path, ...]]
    """Image files, or folders of them."""
    features: Path | None = None
    """Folder of features of the pictures, by their names, for a run that was trained on features."""
    json: bool = False
    """Print one JSON object per picture: its path, captions and scores."""
    picture: Path | None = None
    """Write a contact sheet of the pictures with their captions to this PNG."""
    attention: bool = False
    """With --picture: show, word by word, where in each picture the model looked."""
