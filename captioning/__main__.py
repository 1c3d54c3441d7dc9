"""The captioner's command line: train, evaluate, caption, logprob."""

from captioning.options import KIND, CaptionOptions, EvaluateOptions, LogprobOptions, TrainOptions
from common.cli.command_line import run_program

if __name__ == "__main__":
    commands = {
        "train": TrainOptions,
        "evaluate": EvaluateOptions,
        "caption": CaptionOptions,
        "logprob": LogprobOptions,
    }
    run_program(
        "captioning", commands, KIND, description="Learn to describe pictures, and describe them."
    )
