"""Searches as a command line names them, with what an evaluation records of each."""

from __future__ import annotations

from common.decoding import Sampling

SEARCHES = {
    "--search sampling --num-samples 3 --max-length 9": {
        "search": "Sampling", "num_samples": 3, "temperature": 1.0, "max_length": 9,
    },
    "--search sampling --num-samples 2 --temperature 0.5 --top-k 4 --top-p 0.9": {
        "search": "Sampling", "num_samples": 2, "temperature": 0.5, "top_k": 4, "top_p": 0.9,
    },
    "--search greedy --no-repeat-ngram 1 --min-length 4 --max-length 6 --length-penalty 1.2": {
        "search": "Greedy", "no_repeat_ngram": 1, "min_length": 4, "max_length": 6,
        "length_penalty": 1.2,
    },
    "--beam-size 4 --n-best 3 --min-length 3 --max-length 6 --no-repeat-ngram 2": {
        "search": "BeamSearch", "beam_size": 4, "n_best": 3, "min_length": 3, "max_length": 6,
        "no_repeat_ngram": 2,
    },
}  # fmt: skip
"""Of tests with a model that has learnt little: its samples differ."""

OF_ANOTHER = [
    (
        "--temperature 0.5",
        "--temperature is an option of --search sampling, and the search is beam",
    ),
    ("--num-samples 3", "add --search sampling, or leave it out"),
    ("--search sampling --beam-size 3", "--beam-size is an option of --search beam"),
    (
        "--search greedy --top-k 3",
        "--top-k is an option of --search sampling, and the search is gr",
    ),
    ("--search sampling --temperature 0", "--temperature must be above 0"),
    ("--search sampling --top-p 1.5", "--top-p must be above 0 and at most 1, not 1.5"),
]
"""Options that another search has, or none, with what is said of them."""


def answers(search: dict) -> int:
    """How many sentences a search of `SEARCHES` returns."""
    return search.get("num_samples", search.get("n_best", 1))


def assert_obeyed(search: dict, sentences: list[list[str]]) -> None:
    """Each sentence, as tokens, is as long as the search has it, and repeats what it may."""
    for tokens in sentences:
        assert search.get("min_length", 0) <= len(tokens) <= search.get("max_length", 40)
        size = search.get("no_repeat_ngram")
        if size:
            runs = [tuple(tokens[at : at + size]) for at in range(len(tokens) - size + 1)]
            assert len(set(runs)) == len(runs)


def assert_recorded(search: dict, evaluation: dict) -> None:
    """An evaluation says by which search it was made."""
    assert {name: evaluation["search"][name] for name in search} == search


# What is given to a call in the place of a search, and what is said of it.
MISTAKES: list[tuple[dict, str]] = [
    ({"search": "sampling"}, "search is a strategy with its values, as BeamSearch"),
    ({"search": Sampling}, "search is a strategy with its values, as BeamSearch"),
    ({"beam_size": 5}, r"beam_size is a value of a search: search=BeamSearch\(beam_size=5\)"),
    ({"temperature": 0.5}, r"search=Sampling\(temperature=0.5\)"),
    ({"forbidden": [5]}, "forbidden is no argument of a search; they are constraints, gen"),
]
