"""Multi30k: what a recurrent translator of a few million weights reaches, with and without attention.

Shape: sequence to sequence. The presets (`seq2seq/presets`) are the best settings that were found on
the validation sentences; every option of `python -m seq2seq train` can be changed on the command line.

    python -m experiments.translate_multi30k small     --data DIR --source de --target en
    python -m experiments.translate_multi30k attention --data DIR --source de --target en
    python -m experiments.translate_multi30k context   --data DIR --source de --target en

What was seen on the way (validation BLEU, beam 5; one run of one seed each, and where several settings
changed from one to the next, their effects are not separated):

- German to English, words, hidden size 512, dropout 0.3 and 0.5 on outputs: 37.1, the training loss
  still high. Subwords of both languages together, dropout 0.2 and 0.3 on outputs: 39.9.
- The previous word joins the query of attention and the output layer. English to French: 54.3 to
  55.9, and ahead by 1.4 to 3.4 after every epoch. The small model, of words: 38.5 in ten minutes.
- With one matrix for the embeddings of both languages and the output layer besides: 42.8 from German
  to English; 56.6 to French, against 55.9 without it after one epoch less.
- More dropout on what the encoder and the decoder put out (0.2 to 0.3, 0.3 to 0.4) over 16 epochs in
  place of 11: 42.8 to 43.2 from German to English, 40.1 to 40.5 back, 56.6 to 58.0 to French.
- A second layer of the encoder makes no difference that one seed could show: 40.5 to 40.6 from English
  to German, where the model is weakest, 43.2 to 43.1 back, 58.0 to 57.7 to French. Nor do 640 and 384
  features in place of 512 and 256. Behind as far as it was run: a tenth of the previous words hidden.
- Without attention, deep output and the one matrix together: 29.3 to 32.4, after one epoch less.
- Hypotheses ranked by ((5 + length) / 6) ** 1.4 in place of the length itself: the same scores (43.1,
  40.7, 57.7), but "ein hund rennt" is no longer "a dog runs on a dog."
- No gain: averages of the best validations' weights, other exponents of the length, wider beams, n-grams
  that may not be repeated. Batches of 32. Subwords that are drawn anew in every epoch, and 4,000
  subwords in place of 8,000, were behind as far as they were run.
"""

from __future__ import annotations

from common.cli.command_line import parse
from common.errors import run_command
from common.progress import quietly
from seq2seq.options import KIND, TrainOptions

MODELS = ("small", "attention", "context")
TEST = "test_2016_flickr"


def main() -> None:
    """Train one of the models and print its scores on the validation and the test sentences."""
    options = parse(
        dict.fromkeys(MODELS, TrainOptions),
        KIND,
        prog="python -m experiments.translate_multi30k",
        description=__doc__.splitlines()[0] if __doc__ else "",
        configs={model: f"multi30k-{model}" for model in MODELS},
    )
    from seq2seq.train import evaluate_run, load_data, train

    evaluations = {"val": train(options)}
    if TEST in load_data(options).splits:
        with quietly(options.quiet):
            evaluations[TEST] = evaluate_run(options.run_dir, TEST, device=options.training.device)
    for split, evaluation in evaluations.items():
        for name, signature in evaluation.signatures.items():
            print(f"{split:<18}{name:<12}{evaluation.metrics[name]:6.2f}  {signature}")


if __name__ == "__main__":
    run_command(main)
