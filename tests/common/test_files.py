from __future__ import annotations

import errno
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError, describe_os_error, printable, run_command
from common.files import (
    SEAL_SIZE,
    atomic_folder,
    atomic_write,
    is_sound,
    make_folder,
    open_regular,
    read_json,
    read_text,
    seal,
    user_cache,
    write_json,
)  # fmt: skip


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write("나는 new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() == "나는 new".encode()
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path, "wb") as file:
        file.write(b"half of the n")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path, monkeypatch, call):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.txt"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError) as error, atomic_write(path) as file:
            file.write("new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]
    message = describe_os_error(error.value)
    assert message.startswith(f"no space left on the device: {path}.") and "\n" not in message


def test_a_folder_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "above" / "data"
    with atomic_folder(path) as folder:
        (folder / "a.txt").write_text("new")
        assert not path.exists()
    assert names(path) == ["a.txt"] and names(path.parent) == ["data"]
    assert path.stat().st_mode == path.parent.stat().st_mode
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty") as folder:
        (folder / "b.txt").touch()
    assert names(tmp_path / "empty") == ["b.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_no_folder(tmp_path, error):
    with pytest.raises(error), atomic_folder(tmp_path / "data") as folder:
        (folder / "a.txt").write_text("half")
        raise error
    assert names(tmp_path) == []


def test_a_folder_with_something_in_it_is_never_replaced(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError), atomic_folder(tmp_path) as folder:
        (folder / "a.txt").write_text("new")
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_a_limit_of_the_system_leaves_the_old_file(tmp_path):
    """The same with a real failure of a write, of a file that may not grow."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    script = f"""
import resource, signal
from common.files import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with atomic_write({str(path)!r}) as file:
    file.write("x" * 5000)
"""
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True
    )
    assert result.returncode == 1 and f"File too large: '{path}'" in result.stderr
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_an_error_names_the_file_that_was_meant(tmp_path):
    with pytest.raises(FileNotFoundError) as error, atomic_write(tmp_path / "no" / "a.txt"):
        pass
    assert error.value.filename == str(tmp_path / "no" / "a.txt")
    with pytest.raises(IsADirectoryError) as error, atomic_write(tmp_path):
        pass
    assert error.value.filename == str(tmp_path)
    with pytest.raises(FileNotFoundError) as error, atomic_write(tmp_path / "a.txt"):
        (tmp_path / "another").read_text()
    assert error.value.filename == str(tmp_path / "another")


def test_a_file_is_as_readable_as_any_other(tmp_path):
    with atomic_write(tmp_path / "a"):
        pass
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("write", [atomic_write, atomic_folder])
def test_what_a_killed_process_began_is_removed_by_the_next(tmp_path, write):
    path = tmp_path / "made" / "corpus"
    path.parent.mkdir()
    script = f"""
import sys, time
from common.files import {write.__name__}
with {write.__name__}({str(path)!r}) as there:
    print("begun", flush=True)
    time.sleep(60)
"""
    processes = []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=Path(__file__).resolve().parents[2],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        processes.append(process)
    killed, living = processes
    killed.kill()
    killed.wait()
    begun = {pid: next(path.parent.glob(f".corpus.{pid}-*")) for pid in (killed.pid, living.pid)}
    others = [path.parent / ".corpus.old.1-0123abcd", path.parent / ".corpus.12"]
    for each in (*begun.values(), *others):
        each.touch()
        os.utime(each, (0, 0))
    with write(path):
        assert begun[living.pid].exists() and not begun[killed.pid].exists()
    living.kill()
    living.wait()
    assert path.exists() and all(each.exists() for each in others)


def nameless(folder: Path) -> dict[str, object]:
    """Paths that cannot be read, by a part of the message that says why."""
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "secret").touch(0)
    found = {
        "not a regular file": folder / "pipe",
        "is a folder": folder,
        "Too many levels": folder / "loop",
        "File name too long": folder / ("x" * 5000),
        "embedded null": folder / "a\0b",
        "surrogates not allowed": folder / "a\ud800",
        "does not exist": Path("there is none"),
    }
    return found | ({} if os.access(folder / "secret", os.R_OK) else {"denied": folder / "secret"})


def test_what_cannot_be_read_is_named_and_never_waited_for(tmp_path):
    for reason, path in nameless(tmp_path).items():
        for read in (read_text, read_json):
            with pytest.raises(UserError, match=reason) as error:
                read(path)
            assert printable(str(error.value)) == str(error.value)
    (tmp_path / "link").symlink_to(tmp_path / "a.json")
    write_json(tmp_path / "a.json", 1)
    assert read_json(tmp_path / "link") == 1


def test_a_text_too_large_to_be_one_is_not_read(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match=r"sparse has more than 1,024 MB"):
        read_text(tmp_path / "sparse")


def test_a_name_that_is_not_utf8_is_written_and_read_again(tmp_path):
    name = os.fsdecode(b"h\xff.png")
    write_json(tmp_path / "a.json", {name: name})
    assert read_json(tmp_path / "a.json") == {name: name}
    with atomic_write(tmp_path / "a.txt") as file:
        file.write(name)
    assert read_text(tmp_path / "a.txt") == "h\\udcff.png"


def test_read_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffein Hund\r\n나".encode())
    assert read_text(path) == "ein Hund\r\n나"
    path.write_bytes("eins\nzwei\ndrei ä\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"a\.txt:3: not UTF-8 text \(byte 0xe4\)"):
        read_text(path)
    with pytest.raises(UserError, match=r"b\.txt does not exist"):
        read_text(tmp_path / "b.txt")
    with pytest.raises(UserError, match="is a folder"):
        read_text(tmp_path)


def test_json_there_and_back(tmp_path):
    value = {"a": [1, 2.5, None, True], "나": {"b": "ä"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "나" in (tmp_path / "a.json").read_text()


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"a": 1,\n "b": }', r"a\.json:2: not valid JSON \(Expecting value\)"),
        ("", r"a\.json:1: not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "a number too long"),
    ],
)
def test_what_is_not_json_is_a_user_error(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(error.value)


def test_a_value_that_json_has_not_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}


def ends(error: BaseException, capsys) -> tuple[object, str]:
    """What `run_command` makes of an exception: the exit code, and what is printed."""

    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        run_command(main)
    printed = capsys.readouterr().err
    if isinstance(end.value.code, str):  # Python prints it and exits with 1
        return 1, end.value.code
    return end.value.code, printed.strip()


def test_errors_of_people_end_in_one_line(capsys, tmp_path):
    assert ends(UserError("a.txt:3: wrong."), capsys) == (1, "error: a.txt:3: wrong.")
    assert ends(KeyboardInterrupt(), capsys) == (130, "interrupted")
    assert ends(KeyboardInterrupt("saved in runs/x"), capsys) == (130, "saved in runs/x")
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "a.txt")
    assert ends(missing, capsys) == (1, "error: No such file or directory: a.txt")


def test_an_error_of_the_system_without_a_file_says_where(capsys):
    def syncing() -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    with pytest.raises(SystemExit, match=r"error: Invalid argument \(in syncing, test_files\.py\)"):
        run_command(syncing)


def test_what_an_error_quotes_cannot_command_the_terminal(capsys):
    _, shown = ends(UserError("\x1b[2Jno\x07\x9b\udcff\x7f a\nb\tc: 나"), capsys)
    assert shown == "error: \\u001b[2Jno\\u0007\\u009b\\udcff\\u007f a\\u000ab\tc: 나"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_text_can_be_printed(encoding):
    script = """
from common.errors import run_command
run_command(lambda: print("Bär", "개", "h\\udcff.png"))
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    text = "Bär 개 h\udcff.png\n".encode(encoding, "backslashreplace")
    assert (done.returncode, done.stdout, done.stderr) == (0, text, b"")


def test_defects_keep_their_traceback():
    def main() -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        run_command(main)


def test_a_reader_that_has_gone_is_no_error():
    script = """
from common.errors import run_command
def main():
    for number in range(100_000):
        print(number)
run_command(main)
"""
    root = Path(__file__).resolve().parents[2]
    for lines in ("100_000", "1"):  # written while running, and at the end
        process = subprocess.Popen(
            [sys.executable, "-c", script.replace("100_000", lines)],
            cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def as_fifo(path: Path) -> None:
    os.mkfifo(path)


def as_link(path: Path) -> None:
    (path.parent / "precious").write_text("x")
    path.symlink_to("precious")


def as_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("mode", ["rb", "ab", "r+b"])
@pytest.mark.parametrize("make", [as_fifo, as_link, as_link_to_a_device, as_socket, Path.mkdir])
def test_nothing_but_a_regular_file_is_opened(tmp_path, make, mode):
    """A pipe would be waited for; the target of a link would be written."""
    path = tmp_path / "a"
    make(path)
    with pytest.raises(UserError, match=rf"\A{path} is [^\n]*\Z"):
        open_regular(path, mode)
    assert not (tmp_path / "precious").exists() or (tmp_path / "precious").read_text() == "x"


def test_a_link_that_the_user_names_is_read_and_a_device_is_not(tmp_path):
    as_link(tmp_path / "a")
    assert read_text(tmp_path / "a") == "x"
    for make in (as_fifo, as_link_to_a_device):
        make(tmp_path / make.__name__)
        with pytest.raises(UserError, match="is not a regular file"):
            read_text(tmp_path / make.__name__)


def test_a_regular_file_is_written_read_and_added_to(tmp_path):
    for _ in range(2):
        with open_regular(tmp_path / "a", "a") as file:
            file.write("나")
    with open_regular(tmp_path / "a") as file:
        assert file.read().decode() == "나나"
    with pytest.raises(UserError, match="b does not exist"):
        open_regular(tmp_path / "b")


def test_a_folder_to_write_in_is_no_link(tmp_path):
    assert make_folder(tmp_path / "deep" / "folder") == make_folder(tmp_path / "deep" / "folder")
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    with pytest.raises(UserError, match="link is a link to another folder"):
        make_folder(tmp_path / "link")


def test_caches_are_in_the_users_folder_wherever_a_program_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for base in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert user_cache("x") == tmp_path / ".cache" / "unroll" / "x"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert user_cache("x") == tmp_path / "cache" / "unroll" / "x"


def test_a_seal_is_of_all_bytes_before_it():
    file = io.BytesIO(b"x" * 3_000_000)
    assert is_sound(file, 3_000_000)  # never sealed
    seal(file)
    whole = file.getvalue()
    assert len(whole) == 3_000_000 + SEAL_SIZE and is_sound(file, 3_000_000)
    for place in (0, 1 << 20, 2_999_999, 3_000_000, len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        assert not is_sound(io.BytesIO(changed), 3_000_000)
    assert not is_sound(io.BytesIO(whole[:-1]), 3_000_000)
