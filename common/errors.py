"""Errors for people: one line that says what was wrong, where, and what to do."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable

# What moves a terminal's cursor or sends it commands, ends a line, or is not in UTF-8; not the tab.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UserError(Exception):
    """Something that the user can put right: a message of one line, shown without a traceback."""


def run_command(main: Callable[[], None]) -> None:
    """Run a command line; whatever the user can put right ends it in one line on stderr.

    Exit codes: 1 for a `UserError` or an error of the operating system (missing file, full disk),
    130 for Ctrl-C. Any other exception is a defect of ours and keeps its traceback. A character that
    the encoding of standard output lacks is written as an escape.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # as Python has it for standard error
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        sys.exit(f"error: {printable(str(error))}")
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
        sys.exit(f"error: {printable(describe_os_error(error))}")


def silence_interrupts(package: str) -> None:
    """Let Ctrl-C end `python -m package` without a word while it imports, until `run_command` begins.

    For the first lines of the package; where it is imported by anything else, nothing is done.
    """
    started = sys.argv[:1] == ["-m"] and any(
        each == package or each.startswith(f"{package}.") for each in sys.orig_argv
    )
    if started and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def printable(text: str) -> str:
    r"""Text of others as it may be printed: control characters and lone surrogates as escapes of JSON.

    A terminal obeys what is in a token, a caption or the name of a file. The tab stays.
    """
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def describe_os_error(error: OSError) -> str:
    """One line for an error of the operating system: what, which file, what to do.

    Where it names no file, the innermost function that it passed through is named.
    """
    where = f": {error.filename}" if error.filename else ""
    if not where and (frames := traceback.extract_tb(error.__traceback__)):
        where = f" (in {frames[-1].name}, {os.path.basename(frames[-1].filename)})"
    if error.errno == errno.ENOSPC:
        return (
            f"no space left on the device{where}. Free some space and run the same command again."
        )
    return f"{error.strerror or error}{where}"


def one_line(error: BaseException) -> str:
    """The first line of an error's message, to stand inside a sentence; its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__
