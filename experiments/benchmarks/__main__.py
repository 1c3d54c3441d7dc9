"""All benchmarks: a table on the screen, and JSON with the machine's description.

python -m experiments.benchmarks                       all of them
python -m experiments.benchmarks decoder beam --json benchmarks.json
python -m experiments.benchmarks translator --device cuda
"""

from __future__ import annotations

from common.cli.command_line import parse_options
from common.errors import run_command
from experiments.benchmarks.options import BenchmarkOptions


def main() -> None:
    """Run the benchmarks that the arguments name."""
    options = parse_options(BenchmarkOptions, prog="python -m experiments.benchmarks")
    # Only now, when there is work to do: PyTorch takes seconds to import.
    from experiments.benchmarks import suite

    suite.run(options)


if __name__ == "__main__":
    run_command(main)
