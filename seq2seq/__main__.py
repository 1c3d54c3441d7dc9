"""The translator's command line: train, evaluate, translate."""

from __future__ import annotations

import tyro
from tyro.conf import OmitArgPrefixes

from common.bounds import check_bounds
from common.errors import run_command
from seq2seq.options import EvaluateOptions, TrainOptions, TranslateOptions


def main() -> None:
    """Run the command that the arguments name."""
    options = tyro.extras.subcommand_cli_from_dict(
        {"train": TrainOptions, "evaluate": EvaluateOptions, "translate": TranslateOptions},
        prog="python -m seq2seq",
        description="Learn to translate sentences, and translate them.",
        config=(OmitArgPrefixes,),
    )
    check_bounds(options)
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
