"""The tables of results in README.md and experiments/README.md, made of results.csv.

Shape: none. Each row of results.csv is one figure, with all that is needed to find it again. A table
stands between two comments. The first says which rows are in it, and what its columns are of: `metric`
by default.

    <!-- results: forecast; columns: setting -->
    <!-- end -->

    python -m experiments.results
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from common.errors import UserError, run_command
from common.files import atomic_write

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.csv"
PAGES = FOLDER.parent / "README.md", FOLDER / "README.md"
TABLE = re.compile(r"(<!-- results: (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Result:
    """A row of results.csv; empty where it is not known.

    Args:
        experiment: the script that makes it.
        setting: what is measured, in words.
        data: on what, and which part of it.
        metric: with its unit.
        value: as it is to be read.
        spread: over seeds or folds: the standard deviation, or the range.
        seeds: how many trainings `value` is of.
        cpu_minutes: user and system time of the whole command.
        precision: fp32 or bf16.
        machine: the kind of processor.
        commit: of the code.
        command: that makes it.
    """

    experiment: str
    setting: str
    data: str
    metric: str
    value: str
    spread: str
    seeds: str
    cpu_minutes: str
    precision: str
    machine: str
    commit: str
    command: str

    @property
    def cell(self) -> str:
        return f"{self.value} ({self.spread})" if self.spread else self.value


FIELDS = [each.name for each in fields(Result)]


def read(path: Path = RESULTS) -> list[Result]:
    """All rows of the file.

    Raises:
        UserError: its columns are not those of `Result`, or a row has more or fewer.
    """
    with open(path, encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if next(lines, None) != FIELDS:
            raise UserError(f"{path}: its columns must be {', '.join(FIELDS)}.")
        rows = list(lines)
    for number, row in enumerate(rows, 2):
        if len(row) != len(FIELDS):
            raise UserError(f"{path}: row {number} has {len(row)} columns, not {len(FIELDS)}.")
    return [Result(*row) for row in rows]


def chosen(results: Sequence[Result], marker: str) -> tuple[list[Result], list[str]]:
    """The results that a marker asks for, and the fields that its columns are of.

    Raises:
        UserError: the marker names no field, or there is no such result.
    """
    wanted = dict(part.split(": ", 1) for part in f"experiment: {marker}".split("; "))
    columns = wanted.pop("columns", "metric").split(", ")
    if unknown := {*wanted, *columns} - {*FIELDS}:
        raise UserError(f"results: {marker}: results.csv has no column {unknown.pop()!r}.")
    found = [r for r in results if all(getattr(r, name) == wanted[name] for name in wanted)]
    if not found:
        raise UserError(f"results: {marker}: results.csv has no such row.")
    return found, columns


def table(results: Sequence[Result], columns: Sequence[str]) -> str:
    """Results as a table of Markdown: a line for each setting, and for each of whatever else differs.

    Raises:
        UserError: two results stand in one place.
    """

    def shown(name: str) -> bool:
        return name == "setting" or len({getattr(result, name) for result in results}) > 1

    rest = [name for name in ("data", "setting", "metric", "machine") if name not in columns]
    beside = [name for name in rest if shown(name)]
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    heads = list(dict.fromkeys(_named(result, columns) for result in results))
    for result in results:
        cells = lines.setdefault(tuple(getattr(result, name) for name in beside), {})
        added = {_named(result, columns): result.cell}
        if result.cpu_minutes:
            added["CPU-minutes"] = result.cpu_minutes
        for head, cell in added.items():
            if cells.setdefault(head, cell) != cell:
                raise UserError(f"results.csv: {cells[head]} and {cell} are both of {result}.")
    if (
        len({cells.get("CPU-minutes") for cells in lines.values()}) > 1
    ):  # else they are of one command
        heads.append("CPU-minutes")
    rows = [[*beside, *heads], ["---"] * len([*beside, *heads])]
    rows += [[*key, *(cells.get(head, "") for head in heads)] for key, cells in lines.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _named(result: Result, columns: Sequence[str]) -> str:
    return ", ".join(filter(None, (getattr(result, name) for name in columns)))


def with_tables(text: str, results: Sequence[Result]) -> str:
    """A page with its tables as they are to be."""
    return TABLE.sub(
        lambda found: f"{found[1]}\n{table(*chosen(results, found[2]))}\n{found[4]}", text
    )


def markers() -> Iterator[str]:
    """What the tables of all pages ask for."""
    for page in PAGES:
        yield from (found[2] for found in TABLE.finditer(page.read_text(encoding="utf-8")))


def main() -> None:
    """Write the tables anew; with any argument, explain."""
    if sys.argv[1:]:
        print(__doc__)
        return
    results = read()
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = with_tables(before, results)
        if after != before:
            with atomic_write(page, "w") as file:
                file.write(after)
        state = "as they were" if after == before else "written"
        print(f"{page}: {len(TABLE.findall(after))} tables, {state}")


if __name__ == "__main__":
    run_command(main)
