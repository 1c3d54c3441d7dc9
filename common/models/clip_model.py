"""What happens in a video clip: in the whole of it, in each frame, and as a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from common.compute.device import map_tensors, upload
from common.data.batching import pad_sequences
from common.data.clips import Clip
from common.decoding.context import Context
from common.decoding.decoder import RecurrentDecoder
from common.decoding.names import Injection
from common.decoding.search import Greedy
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.tokens import token_loss
from common.recurrent import Recurrent
from common.recurrent.cells import CellFactory
from common.recurrent.dropout import Dropout
from common.recurrent.names import CellName
from common.text.labels import Labels
from common.text.vocabulary import BOS, EOS, PAD, Vocabulary
from common.training.loss import Loss

LONGEST = 20  # words of a caption
INJECT: tuple[Injection, ...] = ("init",)  # attention reads the rest


@dataclass(frozen=True)
class ClipBatch:
    """Clips with what happens in them.

    Args:
        clips: the frames (N, 3, H, W) uint8 of all B clips, one clip after the other without padding,
            with the frames of each as `lengths` (B,), and the captions as targets.
        actions: (B,) the class of each clip.
        events: (B, T) the class of each frame, -1 after the last of a clip.
    """

    clips: Batch
    actions: Tensor
    events: Tensor

    def to(self, device: torch.device) -> ClipBatch:
        """The batch on a device, except the lengths."""
        moved = upload(self.actions, device), upload(self.events, device)
        return ClipBatch(self.clips.to(device), *moved)

    def pin_memory(self) -> ClipBatch:
        return map_tensors(self, Tensor.pin_memory)

    def __len__(self) -> int:
        return len(self.actions)


class Described(NamedTuple):
    """What a model finds in a clip.

    Args:
        action: () the class of the clip.
        events: (T,) the class of each frame.
        caption: word ids.
    """

    action: Tensor
    events: Tensor
    caption: list[int]


@dataclass(frozen=True)
class ClipNames:
    """The names of all that a model finds in clips.

    Args:
        actions: of whole clips.
        events: of what happens in a frame.
        words: of captions.
    """

    actions: Labels
    events: Labels
    words: Vocabulary

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> ClipNames:
        """Those of the training clips."""
        return cls(
            Labels.of(clip.action for clip in clips),
            Labels.of(event for clip in clips for event in clip.events),
            Vocabulary.build(clip.caption for clip in clips),
        )

    def files(self, name: str = "") -> Iterator[tuple[str, Callable[[Path], None]]]:
        """The names of the files to save, each with the function that writes it to a path."""
        for each in fields(self):
            yield f"{name}{each.name}.json", getattr(self, each.name).save

    @classmethod
    def load(cls, locate: Callable[[str], Path], name: str = "") -> ClipNames:
        """Read what was saved; `locate` gives the path of a file.

        Raises:
            UserError: a file is missing or damaged.
        """
        actions, events, words = (locate(f"{name}{each.name}.json") for each in fields(cls))
        return cls(Labels.load(actions), Labels.load(events), Vocabulary.load(words))

    def collate(self, clips: Sequence[Clip]) -> ClipBatch:
        """A batch of clips."""
        frames = torch.from_numpy(np.concatenate([clip.frames for clip in clips]))
        lengths = torch.tensor([len(clip.frames) for clip in clips])
        captions = [self.words.encode(clip.caption) for clip in clips]
        return ClipBatch(
            Batch.collate((frames.permute(0, 3, 1, 2),), captions, lengths=lengths),
            torch.tensor(self.actions.encode(clip.action for clip in clips)),
            pad_sequences([self.events.encode(clip.events) for clip in clips], -1),
        )

    def named(self, found: Described, frames: np.ndarray) -> Clip:
        """Frames with what a model has found in them."""
        events, words = self.events.decode(found.events.tolist()), self.words.decode(found.caption)
        return Clip(frames, self.actions.names[int(found.action)], events, words)


class FrameEncoder(nn.Module):
    """A small convolutional network over a picture: how much there is of each of its maps, and where.

    Each of K maps gives its mean, its maximum, and the expected place (x, y) under a softmax over all
    places (Finn et al. 2016, deep spatial autoencoders): what moves by a pixel changes the features
    by little, and alike wherever it is.

    Args:
        feature_size: features of a picture.
        channels: K.
    """

    def __init__(self, feature_size: int, channels: int = 32) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            _convolution(3, 16, stride=2), _convolution(16, 32, stride=2),
            _convolution(32, channels), nn.Conv2d(channels, channels, 1),
        ).to(memory_format=torch.channels_last)  # fmt: skip
        self.features = nn.Sequential(
            nn.BatchNorm1d(4 * channels), nn.Linear(4 * channels, feature_size), nn.ReLU()
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, height, width) uint8 -> (N, F)."""
        dtype = next(self.parameters()).dtype
        pixels = pictures.to(dtype=dtype, memory_format=torch.channels_last)
        maps = self.maps(pixels / 127.5 - 1)
        rows, columns = maps.shape[2:]
        maps = maps.flatten(2)  # (N, K, S)
        y, x = (
            torch.linspace(-1, 1, n, device=maps.device, dtype=maps.dtype) for n in (rows, columns)
        )
        places = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flatten(0, 1)  # (S, 2)
        where = maps.softmax(-1) @ places  # (N, K, 2)
        return self.features(torch.cat([maps.mean(-1), maps.amax(-1), where.flatten(1)], 1))


class ClipEncoder(nn.Module):
    """A convolutional network over each frame, and a recurrent one over their features.

        x_t = CNN(frame_t)              h_1 ... h_T = Recurrent(x_1 ... x_T)
        memory = [x_1; h_1] ... [x_T; h_T]        vector = their mean

    Args:
        feature_size: features of a frame.
        hidden_size: features of a hidden state in each direction.
        cell: as `Recurrent` takes it.
        num_layers: stacked recurrent layers.
        dropout: probability of dropping a feature of the hidden states in training. The features of
            frames are all kept: what is dropped from one and not from the next looks like motion.

    Attributes:
        context_size: features of the vector, and of a step of the memory, F + 2 H.
    """

    def __init__(
        self,
        feature_size: int,
        hidden_size: int,
        *,
        cell: CellName | CellFactory = "gru",
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.cnn = FrameEncoder(feature_size)
        self.recurrent = Recurrent(
            cell, feature_size, hidden_size, num_layers=num_layers, bidirectional=True
        )
        self.context_size = feature_size + self.recurrent.output_size
        self.dropout = Dropout(dropout)

    def forward(self, frames: Tensor, lengths: Tensor) -> Context:
        """Read clips.

        Args:
            frames: (N, 3, H, W) uint8, of all clips, one clip after the other.
            lengths: (B,) frames of each clip, at least 1, on the host.
        """
        features = self.cnn(frames)
        padded = pad_sequence(features.split(lengths.tolist()), batch_first=True)  # (B, T, F)
        outputs, _ = self.recurrent(padded, lengths)
        there = upload(lengths, frames.device).unsqueeze(1)  # (B, 1)
        mask = torch.arange(outputs.shape[1], device=frames.device) < there
        memory = self.dropout(torch.cat([padded, outputs], 2))  # both are 0 at padding
        return Context(memory.sum(1) / there, memory, mask)


class ClipModel(EncoderDecoder):
    """Classifies a clip, classifies each of its frames, and writes a caption, all from one encoder.

        action = softmax(W v)        event_t = softmax(U h_t)        caption = decoder(v, h_1 ... h_T)

    Args:
        num_actions: classes of clips.
        num_events: classes of frames.
        num_words: the vocabulary of captions.
        feature_size: features of a frame.
        hidden_size: features of a hidden state, in each direction of the encoder and in the decoder.
        cell, num_layers, dropout: as `ClipEncoder` takes them.
    """

    encoder: ClipEncoder

    def __init__(
        self,
        num_actions: int,
        num_events: int,
        num_words: int,
        *,
        feature_size: int = 64,
        hidden_size: int = 64,
        cell: CellName | CellFactory = "gru",
        num_layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        encoder = ClipEncoder(
            feature_size, hidden_size, cell=cell, num_layers=num_layers, dropout=dropout
        )
        size = encoder.context_size
        decoder = RecurrentDecoder(
            num_words, hidden_size // 2, hidden_size, size, memory_size=size,
            inject=INJECT, attention="additive",
        )  # fmt: skip
        super().__init__(encoder, decoder)
        self.action = nn.Linear(size, num_actions)
        self.event = nn.Linear(size, num_events)

    def classify(self, context: Context) -> tuple[Tensor, Tensor]:
        """Logits of the actions (B, A) and of the events (B, T, E)."""
        assert context.vector is not None and context.memory is not None
        return self.action(context.vector), self.event(context.memory)

    def loss(self, batch: ClipBatch) -> Loss:  # type: ignore[override]
        """Cross-entropy, a mean over all that is predicted: a class of each clip, a class of each frame,
        and the words of the captions."""
        context = self.encode(*batch.clips.arguments)
        actions, events = self.classify(context)
        of_classes = token_loss(actions, batch.actions) + token_loss(events, batch.events, pad=-1)
        return of_classes + self.sentence_loss(context, batch.clips)

    def predict(self, batch: ClipBatch) -> list[Described]:
        """What the model finds in each clip of a batch; the captions word by word, greedily."""
        context = self.encode(*batch.clips.arguments)
        actions, events = (logits.argmax(-1) for logits in self.classify(context))
        captions = Greedy(max_length=LONGEST)(self.decoder, context, bos=BOS, eos=EOS, pad=PAD)
        assert batch.clips.lengths is not None
        each = zip(actions, events, batch.clips.lengths.tolist(), captions, strict=True)
        return [Described(a, e[:length], list(best[0].tokens)) for a, e, length, best in each]


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
