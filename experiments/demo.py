"""The whole of Unroll in a few minutes, on data that it makes itself: `make demo`.

A small CNN and an LSTM learn, from scratch and together, to describe pictures of coloured shapes. A
caption of such a picture can be checked, so the score is the share of captions that are true: on new
pictures, and on pictures with combinations of colour and shape that training never showed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

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
        epochs=10, batch_size=160, learning_rate=4e-3, schedule="cosine", warmup_steps=100,
        label_smoothing=0.0, average_decay=0.99, patience=0, precision="bf16",
    ),
}  # fmt: skip


def main(folder: Path = FOLDER) -> None:
    """Run the demo and print its table."""
    start = time.perf_counter()
    write_scenes(folder / "scenes", train=6000, val=500, held_out=500, fewest=2)
    train(
        TrainOptions(
            data=str(folder / "scenes"), run_dir=folder / "captioning", overwrite=True,
            min_count=1, monitor="true_captions", **CAPTIONER,
        )
    )  # fmt: skip
    seen = evaluate_run(folder / "captioning", "val")
    held_out = evaluate_run(folder / "captioning", "val_held_out")
    draw(folder)
    seconds = time.perf_counter() - start
    summary = {
        "captioning": {
            "true_captions_seen": seen.metrics["true_captions"],
            "true_captions_held_out": held_out.metrics["true_captions"],
            "bleu4": seen.metrics["bleu4"],
            "cider_d": seen.metrics["cider_d"],
            "seconds": round(seconds, 1),
        }
    }
    write_json(folder / "summary.json", summary)
    show(summary, folder)


def draw(folder: Path) -> None:
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
        few = [(image.path, best[0].words) for image, best in zip(images, found, strict=True)][:4]
        attention_sheet(captioner, few).save(pictures / f"attention-{name.replace(' ', '-')}.png")


def show(summary: dict[str, dict[str, float]], folder: Path) -> None:
    """Print the table of scores, and where to look."""
    scores = summary["captioning"]
    rows = [
        ("true captions, new scenes", f"{scores['true_captions_seen']:.1%}"),
        ("true captions, combinations never seen", f"{scores['true_captions_held_out']:.1%}"),
        ("BLEU-4", f"{100 * scores['bleu4']:.1f}"),
        ("CIDEr-D", f"{scores['cider_d']:.2f}"),
        ("seconds", f"{scores['seconds']:.0f}"),
    ]
    print("\ncaptioning: a CNN and an LSTM describe coloured shapes")
    for name, value in rows:
        print(f"  {name:<42}{value:>8}")
    print(f"\npictures:    {folder / 'pictures'}")
    print(f"TensorBoard: .venv/bin/tensorboard --logdir {folder}")


if __name__ == "__main__":
    run_command(main)
