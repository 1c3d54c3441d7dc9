"""The whole of Unroll in a few minutes, on data that it makes itself: `make demo`.

A small CNN and an LSTM learn, from scratch and together, to describe pictures of coloured shapes. Two
GRU translators learn to turn English into Korean, one with attention and one that is told a single
vector. What they write can be checked: a caption is true of its picture or not, and each sentence has
exactly one right translation. All are asked about combinations that training never showed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro

from captioning.captioner import Captioner
from captioning.data import load
from captioning.evaluation import attention_sheet
from captioning.options import EncoderOptions, TrainOptions
from captioning.scenes import write_scenes
from captioning.train import evaluate_run, train
from common.errors import run_command
from common.evaluation.pictures import contact_sheet
from common.files import write_json
from common.options import DecoderOptions, SearchOptions, TrainingOptions
from seq2seq.data import load as load_pairs
from seq2seq.evaluation import alignment_sheet
from seq2seq.options import EncoderOptions as SourceOptions
from seq2seq.options import TextOptions
from seq2seq.options import TrainOptions as TranslatorOptions
from seq2seq.phrases import write_phrases
from seq2seq.train import evaluate_run as evaluate_translator
from seq2seq.train import train as train_translator
from seq2seq.translator import Translator

FOLDER = Path("runs/demo")
CAPTIONER: dict[str, Any] = {
    "encoder": EncoderOptions(
        encoder="small", weights="none", image_size=64, memory_size=0, vector_size=0,
        normalize=False, feature_dropout=0.0,
    ),
    # Attention after the step: the word just said ("blue") tells it which region to name next.
    "decoder": DecoderOptions(
        cell="lstm", inject=("init",), attention="general", attend="after", embedding_size=64,
        hidden_size=192, word_dropout=0.1, embedding_dropout=0.0, layer_dropout=0.0,
        output_dropout=0.1,
    ),
    "search": SearchOptions(beam_size=5, length_penalty=0.0, max_length=30),
    "training": TrainingOptions(
        epochs=12, batch_size=160, learning_rate=4e-3, schedule="cosine", warmup_steps=100,
        label_smoothing=0.0, average_decay=0.99, patience=0, precision="bf16",
    ),
}  # fmt: skip
TRANSLATOR: dict[str, Any] = {
    "text": TextOptions(tokenizer="words", min_count=1),
    "search": SearchOptions(beam_size=3, length_penalty=1.0, max_length=30),
}
TRANSLATION = TrainingOptions(
    epochs=3, batch_size=128, learning_rate=4e-3, schedule="cosine", warmup_steps=100,
    label_smoothing=0.0, patience=0, precision="bf16",
)  # fmt: skip
TRANSLATORS: dict[str, dict[str, Any]] = {
    "attention": {
        "encoder": SourceOptions(
            encoder_size=192, source_embedding_size=128, source_dropout=0.1, encoder_dropout=0.1
        ),
        "decoder": DecoderOptions(
            cell="gru", inject=("init",), attention="additive", embedding_size=128,
            hidden_size=192, attention_size=128, embedding_dropout=0.1, output_dropout=0.2,
        ),
        "training": TRANSLATION,
    },
    # The only way from one language to the other is the last state of the encoder.
    "context": {
        "encoder": SourceOptions(
            encoder_size=256, source_embedding_size=128, source_dropout=0.1, encoder_dropout=0.1
        ),
        "decoder": DecoderOptions(
            cell="gru", inject=("init", "every"), embedding_size=128, hidden_size=256,
            embedding_dropout=0.1, output_dropout=0.2,
        ),
        "training": replace(TRANSLATION, epochs=5),
    },
}  # fmt: skip


def main() -> None:
    """Read the arguments and run the demo."""
    tyro.cli(demo, prog="python -m experiments.demo", description=__doc__)


def demo(folder: Path = FOLDER) -> None:
    """Run the demo and print its table.

    Args:
        folder: for all that it makes and learns; what an earlier demo left there is replaced.
    """
    summary = {"captioning": caption(folder), "translation": translate(folder)}
    write_json(folder / "summary.json", summary)
    show(summary, folder)


def caption(folder: Path) -> dict[str, float]:
    """Train the captioner on scenes; its scores."""
    start = time.perf_counter()
    print("A CNN and an LSTM learn to describe coloured shapes ...")
    write_scenes(folder / "scenes", train=6000, val=500, held_out=500, fewest=2)
    run = folder / "captioning"
    train(
        TrainOptions(
            data=str(folder / "scenes"), run_dir=run, overwrite=True,
            min_count=1, monitor="true_captions", **CAPTIONER,
        )
    )  # fmt: skip
    seen = evaluate_run(run, "val").metrics
    held_out = evaluate_run(run, "val_held_out").metrics
    draw_captions(folder)
    return {
        "true_captions_seen": seen["true_captions"],
        "true_captions_held_out": held_out["true_captions"],
        "bleu4": seen["bleu4"],
        "cider_d": seen["cider_d"],
        "seconds": round(time.perf_counter() - start, 1),
    }


def translate(folder: Path) -> dict[str, float]:
    """Train both translators on phrases; their scores on combinations never seen."""
    start = time.perf_counter()
    write_phrases(folder / "phrases", train=20_000, val=500, held_out=500)
    scores = {}
    for name, options in TRANSLATORS.items():
        print(f"A GRU learns to translate English into Korean, with {name} ...")
        run = folder / f"translation-{name}"
        train_translator(
            TranslatorOptions(
                data=str(folder / "phrases"), run_dir=run, overwrite=True,
                cache_dir=folder / "corpus-cache", monitor="exact_match", **TRANSLATOR, **options,
            )
        )  # fmt: skip
        metrics = evaluate_translator(run, "val_held_out").metrics
        scores[f"exact_match_{name}"] = metrics["exact_match"]
    draw_alignments(folder)
    return scores | {"seconds": round(time.perf_counter() - start, 1)}


def draw_captions(folder: Path) -> None:
    """Write a contact sheet and the attention, word by word, over a few new pictures."""
    captioner = Captioner.from_run(folder / "captioning")
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    data = load(folder / "scenes")
    for split, name in (("val", "new scenes"), ("val_held_out", "new combinations")):
        images = data.split(split)[:12]
        found = captioner.captions([image.path for image in images])
        sheet = contact_sheet(
            [captioner.transform.fitted(image.path) for image in images],
            [best[0].text for best in found],
        )
        sheet.save(pictures / f"{name.replace(' ', '-')}.png")
        few = [(image.path, best[0].tokens) for image, best in zip(images, found, strict=True)][:4]
        attention_sheet(captioner, few).save(pictures / f"attention-{name.replace(' ', '-')}.png")


def draw_alignments(folder: Path) -> None:
    """Write which English words were looked at while each Korean word was written."""
    translator = Translator.from_run(folder / "translation-attention")
    pairs = load_pairs(folder / "phrases").split("val_held_out")
    texts = [pair.source for pair, _ in zip(pairs, range(4), strict=False)]
    found = translator.translations(texts)
    few = [(text, best[0].tokens) for text, best in zip(texts, found, strict=True)]
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    alignment_sheet(translator, few).save(pictures / "alignments.png")


def show(summary: dict[str, dict[str, float]], folder: Path) -> None:
    """Print the table of scores, and where to look."""
    captions, translations = summary["captioning"], summary["translation"]
    rows = [
        ("captioning: true captions of new scenes", f"{captions['true_captions_seen']:.1%}"),
        ("  of combinations never seen", f"{captions['true_captions_held_out']:.1%}"),
        ("  BLEU-4", f"{100 * captions['bleu4']:.1f}"),
        ("  CIDEr-D", f"{captions['cider_d']:.2f}"),
        ("  seconds", f"{captions['seconds']:.0f}"),
        ("translation: exact, combinations never seen", ""),
        ("  with attention", f"{translations['exact_match_attention']:.1%}"),
        ("  from the context vector alone", f"{translations['exact_match_context']:.1%}"),
        ("  seconds", f"{translations['seconds']:.0f}"),
    ]
    print()
    for name, value in rows:
        print(f"{name:<46}{value:>8}".rstrip())
    print(f"\npictures:    {folder / 'pictures'}")
    print(f"TensorBoard: .venv/bin/tensorboard --logdir {folder}")


if __name__ == "__main__":
    run_command(main)
