"""What there is to run: `python -m experiments` lists the experiments by shape, with a line each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from common.errors import run_command

SHAPES = {
    "one to many": "one to many",
    "many to one": "many to one",
    "many to many": "many to many",
    "sequence to sequence": "sequence to sequence",
    "all": "all shapes",
    "none": "tools",
}
"""By the word that a docstring has for it, how a shape is listed."""


def experiments() -> Iterator[tuple[str, str, list[str]]]:
    """Of every experiment in this folder: its name, the first line of its docstring, and its shapes.

    A docstring states the shapes in a sentence: "Shape: many to one, many to many."
    """
    for path in sorted(Path(__file__).parent.iterdir()):
        source = path / "__main__.py" if path.is_dir() else path
        if path.name.startswith("_") or source.suffix != ".py" or not source.is_file():
            continue
        text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
        stated = re.search(r"^Shape: ([a-z, ]+)\.", text, re.MULTILINE)
        yield path.stem, text.partition("\n")[0], stated[1].split(", ") if stated else []


def main() -> None:
    """Print the list."""
    print("python -m experiments.NAME --help explains one of them.")
    listed = list(experiments())
    width = max(len(name) for name, _, _ in listed)
    for shape, title in SHAPES.items():
        print(f"\n{title}")
        for name, line, shapes in listed:
            if shape in shapes:
                print(f"  {name:<{width}}  {line}")


if __name__ == "__main__":
    run_command(main)
