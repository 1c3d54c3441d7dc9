"""The captioner's command line: train, evaluate, caption."""

from __future__ import annotations

from captioning.options import KIND, CaptionOptions, EvaluateOptions, TrainOptions
from common.cli.command_line import parse
from common.errors import run_command


def main() -> None:
    """Run the command that the arguments name."""
    options = parse(
        {"train": TrainOptions, "evaluate": EvaluateOptions, "caption": CaptionOptions},
        KIND,
        prog="python -m captioning",
        description="Learn to describe pictures, and describe them.",
    )
    # Only now, when there is work to do: PyTorch takes seconds to import.
    from captioning import commands, train

    if isinstance(options, TrainOptions):
        train.train(options)
    elif isinstance(options, EvaluateOptions):
        commands.evaluate(options)
    else:
        commands.caption(options)


if __name__ == "__main__":
    run_command(main)
