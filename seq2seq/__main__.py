"""The translator's command line: train, evaluate, translate, logprob."""

from common.cli.command_line import run_program
from seq2seq.options import KIND, EvaluateOptions, LogprobOptions, TrainOptions, TranslateOptions

if __name__ == "__main__":
    run_program(
        "seq2seq",
        {
            "train": TrainOptions,
            "evaluate": EvaluateOptions,
            "translate": TranslateOptions,
            "logprob": LogprobOptions,
        },
        KIND,
        description="Learn to translate sentences, and translate them.",
    )
