"""Multi30k: what a recurrent translator of a few million weights reaches, with and without attention.

The defaults are the best settings found on the validation sentences; every option of
`python -m seq2seq train` can be changed on the command line.

    python -m experiments.translate_multi30k attention --data DIR --source de --target en
    python -m experiments.translate_multi30k context   --data DIR --source de --target en
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes

from common.errors import run_command
from common.options import DecoderOptions, SearchOptions, TrainingOptions
from seq2seq.options import EncoderOptions, TextOptions, TrainOptions
from seq2seq.train import evaluate_run, load_data, train

TEST = "test_2016_flickr"

ATTENTION = TrainOptions(
    data=tyro.MISSING,
    run_dir=Path("runs/multi30k-attention"),
    source="de",
    target="en",
    text=TextOptions(tokenizer="words", min_count=2),
    encoder=EncoderOptions(encoder_size=256, source_dropout=0.3, encoder_dropout=0.3),
    decoder=DecoderOptions(
        cell="gru", hidden_size=512, inject=("init",), attention="additive",
        attention_size=256, embedding_dropout=0.3, output_dropout=0.5,
    ),
    search=SearchOptions(beam_size=5, length_penalty=1.0, max_length=100),
    training=TrainingOptions(
        epochs=14, batch_size=64, learning_rate=1.5e-3, schedule="cosine", warmup_steps=200,
        label_smoothing=0.1, average_decay=0.998, clip_norm=1.0, precision="bf16", patience=4,
    ),
)  # fmt: skip

CONTEXT = replace(
    ATTENTION,
    run_dir=Path("runs/multi30k-context"),
    encoder=EncoderOptions(
        encoder_size=512, summary="max", source_dropout=0.3, encoder_dropout=0.3
    ),
    decoder=DecoderOptions(
        cell="gru", hidden_size=768, inject=("init", "every", "output"), attention="none",
        embedding_dropout=0.3, output_dropout=0.5, word_dropout=0.1,
    ),
)  # fmt: skip


def main() -> None:
    """Train one of the two models and print its scores on the validation and the test sentences."""
    options = tyro.extras.overridable_config_cli(
        {
            "attention": ("A GRU that looks at the source words while it writes.", ATTENTION),
            "context": ("A GRU that is told one vector, and sees nothing else.", CONTEXT),
        },
        prog="python -m experiments.translate_multi30k",
        description=__doc__.splitlines()[0] if __doc__ else None,
        config=(OmitArgPrefixes, FlagCreatePairsOff),
    )
    evaluations = {"val": train(options)}
    if TEST in load_data(options).splits:
        evaluations[TEST] = evaluate_run(options.run_dir, TEST)
    for split, evaluation in evaluations.items():
        for name, signature in evaluation.signatures.items():
            print(f"{split:<18}{name:<6}{evaluation.metrics[name]:6.2f}  {signature}")


if __name__ == "__main__":
    run_command(main)
