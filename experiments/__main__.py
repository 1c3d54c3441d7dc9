"""What there is to run: `python -m experiments` lists the experiments, with a line each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from common.errors import run_command


def experiments() -> Iterator[tuple[str, str]]:
    """The name and the first line of the docstring of every experiment in this folder."""
    for path in sorted(Path(__file__).parent.iterdir()):
        source = path / "__main__.py" if path.is_dir() else path
        if path.name.startswith("_") or source.suffix != ".py" or not source.is_file():
            continue
        text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
        yield path.stem, text.partition("\n")[0]


def main() -> None:
    """Print the list."""
    print("python -m experiments.NAME --help explains one of them.\n")
    listed = list(experiments())
    width = max(len(name) for name, _ in listed)
    for name, line in listed:
        print(f"  {name:<{width}}  {line}")


if __name__ == "__main__":
    run_command(main)
