"""The translator's command line: train, evaluate, translate."""

from __future__ import annotations

from common.cli.command_line import parse
from common.errors import run_command
from seq2seq.options import KIND, EvaluateOptions, TrainOptions, TranslateOptions


def main() -> None:
    """Run the command that the arguments name."""
    options = parse(
        {"train": TrainOptions, "evaluate": EvaluateOptions, "translate": TranslateOptions},
        KIND,
        prog="python -m seq2seq",
        description="Learn to translate sentences, and translate them.",
    )
    # Only now, when there is work to do: PyTorch takes seconds to import.
    from seq2seq import commands, train

    if isinstance(options, TrainOptions):
        train.train(options)
    elif isinstance(options, EvaluateOptions):
        commands.evaluate(options)
    else:
        commands.translate(options)


if __name__ == "__main__":
    run_command(main)
