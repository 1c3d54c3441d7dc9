"""The translator's command line: train, evaluate, translate, score, logprob."""

from common.cli.command_line import run_program
from seq2seq.options import (
    KIND,
    EvaluateOptions,
    LogprobOptions,
    ScoreOptions,
    TrainOptions,
    TranslateOptions,
)

if __name__ == "__main__":
    run_program(
        "seq2seq",
        {
            "train": TrainOptions, "evaluate": EvaluateOptions, "translate": TranslateOptions,
            "score": ScoreOptions, "logprob": LogprobOptions,
        },
        KIND,
        description="Learn to translate sentences, and translate them.",
        apart=("score",),
    )  # fmt: skip
