"""What messages, docstrings and the README tell a user to type exists: options, commands, modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

import captioning.options
import seq2seq.options
from common.cli.arguments import options_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("captioning", "common", "experiments", "seq2seq")
PIPELINES = {"captioning": captioning.options, "seq2seq": seq2seq.options}
FILES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
TEXTS = [ROOT / name for name in ("README.md", "UPGRADING.md", "experiments/README.md", "Makefile")]
# Of pip, pytest, tensorboard, torchrun and git; and of no program: an example.
OTHERS = {
    *(
        "--version",
        "--logdir",
        "--nproc-per-node",
        "--help",
        "--config",
        "--preset",
        "--an-option",
        "--no-",
        "--upgrade",
    ),
    *("--always", "--dirty", "--abbrev", "--index-url", "--extra-index-url", "--basetemp"),
}


@cache
def options(pipeline: str) -> frozenset[str]:
    """Those of all commands of a pipeline."""
    found = set()
    for kind in vars(PIPELINES[pipeline]).values():
        if is_dataclass(kind) and isinstance(kind, type):
            for option in options_of(kind):
                found |= {option.name, option.alias, f"--no-{option.name[2:]}"}
    return frozenset(found)


@cache
def options_of_experiments() -> frozenset[str]:
    """What may be one: the fields of dataclasses, and what is given to a parser by its name."""
    found = set()
    for file in FILES:
        if file.relative_to(ROOT).parts[0] not in ("experiments", "common"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                fields = (each.target for each in node.body if isinstance(each, ast.AnnAssign))
                names = [each.id.replace("_", "-") for each in fields if isinstance(each, ast.Name)]
                found |= {f"--{name}" for name in names} | {f"--no-{name}" for name in names}
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
                found |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    return frozenset(found)


def strings(file: Path) -> Iterator[tuple[int, str]]:
    """The texts of a file, docstrings among them, with the values in f-strings as spaces."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [each.value if isinstance(each, ast.Constant) else "\0" for each in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def known_to(file: Path) -> frozenset[str]:
    package = file.relative_to(ROOT).parts[0]
    if package in PIPELINES:
        return options(package) | OTHERS
    both = options("captioning") | options("seq2seq") | OTHERS
    return both | options_of_experiments() if package != "common" else both


@pytest.mark.parametrize("package", PACKAGES)
def test_options_that_are_named_exist(package: str) -> None:
    unknown = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in FILES
        if file.relative_to(ROOT).parts[0] == package
        for line, text in strings(file)
        for name in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)
        if name.rstrip("-") not in known_to(file) and name not in known_to(file)
    ]
    assert unknown == []


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_options_in_texts_exist(file: Path) -> None:
    known = known_to(ROOT / "experiments" / "x") | options_of_experiments()
    text = file.read_text(encoding="utf-8")
    text = re.sub(r"\b(pip|git|pytest|conda|npx)\b[^`\n]*", "", text)
    if file.name == "UPGRADING.md":  # whose tables name what there was
        text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    names = {name.rstrip("-") for name in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)}
    assert names - known == set()


def test_commands_that_are_named_exist() -> None:
    commands = {
        name: set(re.findall(r'"(\w+)": \w+Options', (ROOT / name / "__main__.py").read_text()))
        for name in PIPELINES
    }
    sources = [(file, text) for file in FILES for _, text in strings(file)]
    sources += [(file, file.read_text(encoding="utf-8")) for file in TEXTS]
    wrong = []
    for file, text in sources:
        for module, command in re.findall(r"python[\d.]* -m ([\w.]*\w)(?: ([a-z]\w*))?", text):
            if module in ("experiments.NAME", "package"):  # which stand for any
                continue
            there = module in ("pip", "venv", "pytest", "ruff", "mypy") or find_spec(module)
            if not there or command and module in commands and command not in commands[module]:
                wrong.append(f"{file.relative_to(ROOT)}: python -m {module} {command}")
        # A script, not a module: `python train.py` or `python train`.
        wrong += [
            f"{file.relative_to(ROOT)}: {line}"
            for line in re.findall(r"\bpython3? (?!-|\d)[\w./]+ --?\w[\w-]*", text)
        ]
    assert wrong == []
