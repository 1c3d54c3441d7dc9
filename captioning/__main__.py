"""The captioner's command line: train, evaluate, caption."""

from __future__ import annotations

import tyro
from tyro.conf import OmitArgPrefixes

from captioning.options import CaptionOptions, EvaluateOptions, TrainOptions
from common.bounds import check_bounds
from common.errors import run_command


def main() -> None:
    """Run the command that the arguments name."""
    options = tyro.extras.subcommand_cli_from_dict(
        {"train": TrainOptions, "evaluate": EvaluateOptions, "caption": CaptionOptions},
        prog="python -m captioning",
        description="Learn to describe pictures, and describe them.",
        config=(OmitArgPrefixes,),
    )
    check_bounds(options)
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
