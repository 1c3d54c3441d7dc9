"""The translator's command line: train, evaluate, translate."""

from common.cli.command_line import run_program
from seq2seq.options import KIND, EvaluateOptions, TrainOptions, TranslateOptions

if __name__ == "__main__":
    run_program(
        "seq2seq",
        {"train": TrainOptions, "evaluate": EvaluateOptions, "translate": TranslateOptions},
        KIND,
        description="Learn to translate sentences, and translate them.",
    )
