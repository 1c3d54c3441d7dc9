"""Both pipelines in a few minutes, on generated data: `make demo`.

Shape: one to many, sequence to sequence. A small CNN and an LSTM learn, from scratch and together, to
describe pictures of coloured shapes. Two GRU translators learn to turn English into Korean, one with
attention and one from the context vector alone. Their outputs can be checked: a caption is true of its
picture or not, and each sentence has exactly one right translation. All are tested on combinations that
did not occur in training.

The three trainings run in parallel, one on each available core. Their time is estimated from the first
steps of each.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from common.cli.command_line import run_options
from common.config.marks import Folder, Metavar
from common.config.quiet import Quiet
from common.errors import UserError
from common.files import write_json
from common.progress import is_quiet, quietly
from experiments.parallel.job import Job, Report
from experiments.parallel.side_by_side import run_side_by_side

FOLDER = Path("runs/demo")
INTRODUCTION = """\
A CNN and an LSTM learn to describe coloured shapes. Two GRUs learn to translate English
into Korean: one with attention, one from the context vector alone."""


@dataclass(frozen=True)
class Plan:
    """Sizes of the generated data and of the trainings.

    Args:
        scenes, scene_epochs: training pictures, and epochs of the captioner.
        pairs: training sentences.
        attention_epochs, context_epochs: epochs of the translators.
        tested: examples of each split that is evaluated.
        validated: those of them that are used after each epoch.
        device: as `--device` of the trainings.
        seed: of the trainings, not of the data.
    """

    scenes: int = 15_000
    scene_epochs: int = 7
    pairs: int = 60_000
    attention_epochs: int = 1
    context_epochs: int = 2
    tested: int = 500
    validated: int = 500
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class DemoOptions(Quiet):
    """Run the demo and print its table."""

    folder: Folder = FOLDER
    """For all that it makes and learns; what an earlier demo left there is replaced."""
    device: Annotated[str, Metavar("DEVICE")] = "auto"
    """cpu, cuda, cuda:1, mps, or any other device of PyTorch; auto takes a GPU if there is one."""


def main() -> None:
    """Read the arguments and run the demo."""
    run_options(
        lambda options: run(options.folder, Plan(device=options.device)),
        DemoOptions, prog="python -m experiments.demo", description=__doc__,
    )  # fmt: skip


def run(folder: Path, plan: Plan) -> None:
    """Run the demo by a plan and print its table."""
    start = time.perf_counter()
    if not is_quiet():
        print(INTRODUCTION, flush=True)
    make_data(folder, plan)
    jobs = [
        Job("captioner", learn_captions, (folder, plan)),
        Job("context translator", learn_translation, (folder, plan, "context")),
        Job("attention translator", learn_translation, (folder, plan, "attention")),
    ]
    found = run_side_by_side(jobs, folder / "logs", announce=lambda line: print(line, flush=True))
    translators = {name: found[f"{name} translator"] for name in ("attention", "context")}
    summary = {
        "captioning": found["captioner"],
        "translation": {
            f"{figure}_{name}": value
            for name, figures in translators.items()
            for figure, value in figures.items()
        },
        "cost": {
            "precision": ", ".join(sorted({figures["precision"] for figures in found.values()})),
            "cpu_minutes": round(sum(os.times()[:4]) / 60, 2),
            "minutes": round((time.perf_counter() - start) / 60, 2),
        },
    }
    write_json(folder / "summary.json", summary)
    show(summary, folder)


def make_data(folder: Path, plan: Plan) -> None:
    """Write the scenes and the phrases; those of an earlier demo with other sizes are replaced."""
    from common.synthetic.phrases import write_phrases
    from common.synthetic.scenes import write_scenes

    counts: dict[str, Any] = {"val": plan.tested, "held_out": plan.tested}
    with quietly():
        replacing(
            folder / "scenes", "scenes.jsonl",
            lambda path: write_scenes(path, train=plan.scenes, fewest=2, **counts),
        )  # fmt: skip
        replacing(
            folder / "phrases", "phrases.json",
            lambda path: write_phrases(path, train=plan.pairs, **counts),
        )  # fmt: skip


def replacing(folder: Path, sign: str, write: Callable[[Path], object]) -> None:
    """Write a generated data set; replace another one, which is recognised by the file `sign`."""
    try:
        write(folder)
    except UserError:
        if not (folder / sign).is_file():
            raise
        shutil.rmtree(folder)
        write(folder)


def of_training(report: Report, portion: float) -> Callable[[int, int | None], None]:
    """Reports the progress of a training as that of its whole job, of whose time updates take a
    portion; the rest is for validations, evaluations and pictures."""
    return lambda updates, at_most: report(portion * updates / (at_most or updates))


def learn_captions(report: Report, folder: Path, plan: Plan) -> dict[str, Any]:
    """Train the captioner on the scenes and return its scores."""
    from captioning.options import EncoderOptions, TrainOptions
    from captioning.train import evaluate_run, train
    from common.decoding.options import DecoderOptions, SearchOptions
    from common.models.options import LossOptions, TextOptions
    from common.training.options import TrainingOptions

    start = time.perf_counter()
    run = folder / "captioning"
    options = TrainOptions(
        data=str(folder / "scenes"), run_dir=run, overwrite=True,
        text=TextOptions(min_count=1), captions_per_image=3, monitor="true_captions",
        validation_images=plan.validated,
        encoder=EncoderOptions(
            encoder="small", weights="none", image_size=64, memory_size=0, vector_size=0,
            feature_dropout=0.0,
        ),
        # Attention after the step: the previous word ("blue") determines which region comes next.
        decoder=DecoderOptions(
            cell="lstm", inject=("init",), attention="general", attend="after", embedding_size=64,
            hidden_size=128, word_dropout=0.1, embedding_dropout=0.0, layer_dropout=0.0,
            output_dropout=0.1, initialization="orthogonal",
            # With it, attention learnt to align with every seed that was tried; without it, with four
            # of five.
            deep_output=True,
        ),
        search=SearchOptions(beam_size=5, length_penalty=0.0, max_length=30),
        loss=LossOptions(label_smoothing=0.0),
        training=TrainingOptions(
            epochs=plan.scene_epochs, batch_size=78, learning_rate=4e-3, schedule="cosine",
            warmup_steps=100, average_decay=0.99, patience=0,
            device=plan.device, threads=1, seed=plan.seed,
        ),
    )  # fmt: skip
    train(options, on_progress=of_training(report, 0.85))
    seen = evaluate_run(run, "val", device=plan.device).metrics
    held_out = evaluate_run(run, "val_held_out", device=plan.device).metrics
    draw_captions(folder, plan.device)
    return {
        "true_captions_seen": seen["true_captions"],
        "true_captions_held_out": held_out["true_captions"],
        "bleu4": seen["bleu4"],
        "cider_d": seen["cider_d"],
        **costs(run, start),
    }


def learn_translation(
    report: Report, folder: Path, plan: Plan, kind: Literal["attention", "context"]
) -> dict[str, Any]:
    """Train one of the translators on the phrases and return its scores on unseen combinations."""
    from common.decoding.options import DecoderOptions, SearchOptions
    from common.models.options import LossOptions
    from common.training.options import TrainingOptions
    from seq2seq.options import EncoderOptions, TextOptions, TrainOptions
    from seq2seq.train import evaluate_run, train

    start = time.perf_counter()
    run = folder / f"translation-{kind}"
    if kind == "attention":
        size, epochs = 128, plan.attention_epochs
        decoder = DecoderOptions(
            cell="gru", inject=("init",), attention="additive", attention_size=64,
            embedding_size=64, hidden_size=size, embedding_dropout=0.1, output_dropout=0.2,
        )  # fmt: skip
    else:  # the last state of the encoder is all that the decoder receives
        size, epochs = 160, plan.context_epochs
        decoder = DecoderOptions(
            cell="gru", inject=("init", "every"), embedding_size=64, hidden_size=size,
            initialization="orthogonal", embedding_dropout=0.1, output_dropout=0.2,
        )  # fmt: skip
    options = TrainOptions(
        data=str(folder / "phrases"), run_dir=run, overwrite=True,
        cache_dir=folder / "corpus-cache" / kind, monitor="exact_match",
        validation_sentences=plan.validated,
        text=TextOptions(tokenizer="words", min_count=1),
        encoder=EncoderOptions(
            encoder_size=size, source_embedding_size=64, source_dropout=0.1, encoder_dropout=0.1
        ),
        decoder=decoder,
        search=SearchOptions(beam_size=3, length_penalty=1.0, max_length=30),
        loss=LossOptions(label_smoothing=0.0),
        training=TrainingOptions(
            epochs=epochs, batch_size=64, learning_rate=4e-3, schedule="cosine", warmup_steps=100,
            average_decay=0.99, patience=0,
            device=plan.device, threads=1, seed=plan.seed,
        ),
    )  # fmt: skip
    train(options, on_progress=of_training(report, 0.92))
    metrics = evaluate_run(run, "val_held_out", device=plan.device).metrics
    if kind == "attention":
        draw_alignments(folder, plan.device)
    return {"exact_match": metrics["exact_match"], **costs(run, start)}


def costs(run: Path, start: float) -> dict[str, Any]:
    """The precision that a training chose, the faster one on this machine; and the seconds since its
    start."""
    from common.runs.run import Run

    precision = Run.open(run).config["training"]["precision"]
    return {"precision": precision, "seconds": round(time.perf_counter() - start, 1)}


def draw_captions(folder: Path, device: str) -> None:
    """Write a contact sheet of new pictures, and attention overlays of a few of them."""
    from captioning.captioner import Captioner
    from captioning.data import load
    from captioning.evaluation import captioned, overlaid
    from common.evaluation.pages import pages, write_pages
    from common.evaluation.sheet import contact_sheets

    captioner = Captioner.from_run(folder / "captioning", device=device)
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    data = load(folder / "scenes")
    for split, name in (("val", "new-scenes"), ("val_held_out", "new-combinations")):
        images = data.split(split)[:12]
        found = captioner.captions([image.path for image in images], keep_attention=True)
        best = [each[0] for each in found]
        cells = captioned(captioner, images, best)
        write_pages(pictures / f"{name}.png", contact_sheets(cells))
        few = [
            overlaid(cell.picture, caption, reference=cell.reference, true=cell.true)
            for cell, caption in zip(cells[:4], best, strict=False)
        ]
        write_pages(pictures / f"attention-{name}.png", pages(few))


def draw_alignments(folder: Path, device: str) -> None:
    """Write heat maps of the attention of Korean words to English ones."""
    from common.evaluation.pages import pages, write_pages
    from seq2seq.data import load
    from seq2seq.evaluation import alignment
    from seq2seq.translator import Translator

    translator = Translator.from_run(folder / "translation-attention", device=device)
    pairs = list(islice(load(folder / "phrases").split("val_held_out"), 4))
    found = translator.translations([pair.source for pair in pairs], keep_attention=True)
    drawn = [
        alignment(translator, pair.source, best[0], pair.target)
        for pair, best in zip(pairs, found, strict=True)
    ]
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    shown = (each for each in drawn if each is not None)
    write_pages(pictures / "alignments.png", pages(shown))


def show(summary: dict[str, dict[str, Any]], folder: Path) -> None:
    """Print the table of scores and costs, and the folders of the results."""
    captions, translations, cost = (summary[name] for name in ("captioning", "translation", "cost"))
    rows = [
        ("captioning: true captions of new scenes", f"{captions['true_captions_seen']:.1%}"),
        ("  of combinations never seen", f"{captions['true_captions_held_out']:.1%}"),
        ("  BLEU-4", f"{100 * captions['bleu4']:.1f}"),
        ("  CIDEr-D", f"{captions['cider_d']:.2f}"),
        ("  seconds", f"{captions['seconds']:.0f}"),
        ("translation: exact, combinations never seen", ""),
        ("  with attention", f"{translations['exact_match_attention']:.1%}"),
        ("  from the context vector alone", f"{translations['exact_match_context']:.1%}"),
        ("  seconds, attention", f"{translations['seconds_attention']:.0f}"),
        ("  seconds, context vector", f"{translations['seconds_context']:.0f}"),
        ("all: precision", cost["precision"]),
        ("  CPU minutes", f"{cost['cpu_minutes']:.1f}"),
        ("  minutes", f"{cost['minutes']:.1f}"),
    ]
    print()
    for name, value in rows:
        print(f"{name:<46}{value:>8}".rstrip())
    print(f"\npictures:    {folder / 'pictures'}")
    print(f"TensorBoard: .venv/bin/tensorboard --logdir {folder}")


if __name__ == "__main__":
    main()
