"""The captioner's command line: train, evaluate, caption."""

from captioning.options import KIND, CaptionOptions, EvaluateOptions, TrainOptions
from common.cli.command_line import run_program

if __name__ == "__main__":
    commands = {"train": TrainOptions, "evaluate": EvaluateOptions, "caption": CaptionOptions}
    run_program(
        "captioning", commands, KIND, description="Learn to describe pictures, and describe them."
    )
