"""All benchmarks: a table on the screen, and JSON with the machine's description.

Shape: none.

python -m experiments.benchmarks                       all of them
python -m experiments.benchmarks decoder beam --json benchmarks.json
python -m experiments.benchmarks translator --device cuda
python -m experiments.benchmarks compare ../before     against another checkout of the code
"""

from __future__ import annotations

import sys

from common.cli.command_line import parse_options
from common.errors import UserError, run_command
from experiments.benchmarks.options import BenchmarkOptions, CompareOptions

PROG = "python -m experiments.benchmarks"


def main() -> None:
    """Run the benchmarks that the arguments name."""
    if sys.argv[1:2] == ["compare"]:
        compare(parse_options(CompareOptions, sys.argv[2:], prog=f"{PROG} compare"))
        return
    options = parse_options(BenchmarkOptions, prog=PROG)
    # Only now, when there is work to do: PyTorch takes seconds to import.
    from experiments.benchmarks import suite

    suite.run(options)


def compare(options: CompareOptions) -> None:
    """Print a table of the speed of this checkout over that of another one."""
    from experiments.benchmarks.checkouts import Ratio, compare_checkouts

    if not (options.other / "experiments" / "benchmarks").is_dir():
        raise UserError(f"{options.other} is no checkout with benchmarks.")
    print(f"{'this over other: median (quartiles)':<42}{'this':>35}{'other':>13}")
    title = ""
    try:
        for row in compare_checkouts(
            options.other, options.names,
            rounds=options.rounds, threads=options.threads, device=options.device,
        ):  # fmt: skip
            if isinstance(row, Ratio) and row.title != title:
                title = row.title
                print(title)
            print(row.line() if isinstance(row, Ratio) else row, flush=True)
    except RuntimeError as error:
        raise UserError(f"{error}: its message is above.") from None


if __name__ == "__main__":
    run_command(main)
