"""Errors for people: one line that says what was wrong, where, and what to do."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something that the user can put right: a message of one line, shown without a traceback."""


def run_command(main: Callable[[], None]) -> None:
    """Run a command line; whatever the user can put right ends it in one line on stderr.

    Exit codes: 1 for a `UserError` or an error of the operating system (missing file, full disk),
    130 for Ctrl-C. Any other exception is a defect of ours and keeps its traceback.
    """
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as interrupt:
        # Training says what was saved, and how to go on.
        print(f"\n{str(interrupt) or 'interrupted'}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone: not an error, but nothing more to say.
        # Python would still try to write what is left, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.exit(f"error: {describe_os_error(error)}")


def describe_os_error(error: OSError) -> str:
    """One line for an error of the operating system: what, which file, what to do."""
    where = f": {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return (
            f"no space left on the device{where}. Free some space and run the same command again."
        )
    return f"{error.strerror or error}{where}"


def one_line(error: BaseException) -> str:
    """The first line of an error's message, to stand inside a sentence; its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__
