"""The captioner's command line: train, evaluate, caption, score, logprob."""

from captioning.options import (
    KIND,
    CaptionOptions,
    EvaluateOptions,
    LogprobOptions,
    ScoreOptions,
    TrainOptions,
)
from common.cli.command_line import run_program

if __name__ == "__main__":
    run_program(
        "captioning",
        {
            "train": TrainOptions, "evaluate": EvaluateOptions, "caption": CaptionOptions,
            "score": ScoreOptions, "logprob": LogprobOptions,
        },
        KIND,
        description="Learn to describe pictures, and describe them.",
        apart=("score",),
    )  # fmt: skip
