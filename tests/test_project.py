"""The house itself: its project files agree, its imports run one way, importing it does nothing."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").is_file())
PIPELINES = {"captioning", "seq2seq"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def project() -> dict:
    return tomllib.loads(read("pyproject.toml"))


def source_files() -> list[Path]:
    return sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imported_modules(file: Path) -> set[str]:
    """Full names of all that a file imports, anywhere in it, relative imports resolved."""
    package = module_name(file).split(".")
    if file.name != "__init__.py":
        package = package[:-1]
    names = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # What is imported from a package may be one of its modules.
            names |= {source} | {f"{source}.{alias.name}" for alias in node.names}
    return names


def imports_of(prefix: str) -> dict[str, set[str]]:
    """Of every module below a package: what it imports from this project."""
    return {
        module_name(file): {
            name for name in imported_modules(file) if name.split(".")[0] in PACKAGES
        }
        for file in source_files()
        if module_name(file).split(".")[: prefix.count(".") + 1] == prefix.split(".")
    }


def below(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


# -- project files ---------------------------------------------------------------------------------


def test_environment_installs_what_pyproject_says():
    """Python, pip and `-e .[dev]`: no dependency is listed twice, so that none can disagree."""
    lines = [line for line in read("environment.yml").splitlines() if not line.startswith("#")]
    assert lines[0] == f"name: {project()['project']['name']}"
    start = lines.index("dependencies:")
    assert lines[1:start] == ["channels:", "  - conda-forge"]
    python = project()["project"]["requires-python"]
    assert lines[start + 1 :] == [f"  - python{python}", "  - pip", "  - pip:", "      - -e .[dev]"]
    assert "dev" in project()["project"]["optional-dependencies"]


def test_dependencies_have_no_upper_bounds():
    """But what we are measured against: a figure is of one version."""
    extras = project()["project"]["optional-dependencies"]
    ours = [requirement for name in extras if name != "peers" for requirement in extras[name]]
    for requirement in [*project()["project"]["dependencies"], *ours]:
        assert re.fullmatch(r"[A-Za-z0-9-]+(>=[0-9.]+)?", requirement), requirement


def test_every_third_party_import_is_a_dependency_and_every_dependency_is_imported():
    distributions = {"PIL": "pillow"}
    declared = {re.split(r"[^A-Za-z0-9-]", r)[0] for r in project()["project"]["dependencies"]}
    known = {*sys.stdlib_module_names, *PACKAGES}
    used = set()
    for file in source_files():
        names = {name.split(".")[0] for name in imported_modules(file)} - known
        used |= {distributions.get(name, name) for name in names}
    assert used == declared


def test_every_package_is_installed_checked_and_importable():
    patterns = project()["tool"]["setuptools"]["packages"]["find"]["include"]
    for package in PACKAGES:
        assert any(fnmatch(package, pattern) for pattern in patterns), package
        assert package in project()["tool"]["mypy"]["files"], package
        assert package in project()["tool"]["ruff"]["lint"]["isort"]["known-first-party"], package
    for file in source_files():
        assert (file.parent / "__init__.py").is_file(), f"{file.parent} has no __init__.py"


# -- imports ---------------------------------------------------------------------------------------


def test_imports_run_one_way():
    for module, names in imports_of("common").items():
        assert all(below(name, "common") for name in names), module
    for pipeline in PIPELINES:
        for module, names in imports_of(pipeline).items():
            assert all(below(name, "common", pipeline) for name in names), module


# What each room of common/ may import besides itself, errors.py, files.py and progress.py.
ROOMS: dict[str, tuple[str, ...]] = {
    "config": (),
    "compute": (),
    "recurrent": ("compute",),
    "decoding": ("compute", "config", "recurrent"),
    "data": (),
    "text": ("data",),
    "synthetic": ("data",),
    "runs": ("compute", "config"),
    "evaluation": ("text",),
    "training": ("compute", "config", "data", "runs"),
    "models": ("compute", "config", "data", "decoding", "recurrent", "runs", "text", "training"),
}


def test_imports_inside_common_run_one_way():
    """`cli` may import every room, and none may import it."""
    assert {path.name for path in (ROOT / "common").iterdir() if (path / "__init__.py").is_file()} == {
        *ROOMS, "cli"
    }  # fmt: skip
    for room, allowed in ROOMS.items():
        below_it = [f"common.{name}" for name in ("errors", "files", "progress", room, *allowed)]
        for module, names in imports_of(f"common.{room}").items():
            ours = {name for name in names if below(name, *PACKAGES)}
            assert all(below(n, *below_it) for n in ours - {"common", "common.handing_on"}), module


def test_no_imports_in_a_circle():
    """Imports inside functions and under TYPE_CHECKING are among them."""
    modules = {module_name(file): file for file in source_files() if file.name != "__init__.py"}
    imports = {name: imported_modules(file) & modules.keys() for name, file in modules.items()}
    while imports:
        leaves = [name for name, used in imports.items() if not used & imports.keys()]
        assert leaves, f"in a circle, or above one: {sorted(imports)}"
        for name in leaves:
            del imports[name]


def test_common_has_no_loose_files():
    loose = {path.name for path in (ROOT / "common").glob("*.py")}
    assert loose == {"__init__.py", "errors.py", "files.py", "progress.py"}


IMPORT_EACH = """
import os, sys, tempfile
import matplotlib, nltk, torch, torchvision  # slow ones once, for all children
state = torch.get_rng_state()
failed = False
for module in sys.argv[1:]:
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            __import__(module)
            if not torch.equal(state, torch.get_rng_state()):
                print("drew random numbers")
            if torch.cuda.is_initialized():
                print("started CUDA")
            sys.stdout.flush()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        said = output.read().decode()
        if status or said:
            failed = True
            print(f"importing {module}: exit code {status}, output: {said}", flush=True)
sys.exit(failed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_importing_any_module_does_nothing(tmp_path):
    """Each alone, in a process of its own: nothing printed, written, drawn or started."""
    modules = [module_name(file) for file in source_files()]
    before = set(ROOT.iterdir())
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    result = subprocess.run(
        # A process that forks while it has threads is warned about; ours only import and leave.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", IMPORT_EACH, *modules],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home)},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert not list(folder.iterdir())
    ours = {path for path in set(ROOT.iterdir()) - before if not path.name.startswith(".")}
    assert not ours


def test_the_pipelines_share_no_lines():
    """No run of six equal lines, beyond imports: what both need lives in common/."""

    def runs(pipeline: str) -> dict[tuple[str, ...], str]:
        found = {}
        for file in (ROOT / pipeline).rglob("*.py"):
            lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
            lines = [line for line in lines if line and not line.startswith(("from ", "import "))]
            for at in range(len(lines) - 5):
                found[tuple(lines[at : at + 6])] = f"{file.name}: {lines[at]}"
        return found

    one, other = (runs(pipeline) for pipeline in sorted(PIPELINES))
    assert not [(one[lines], other[lines]) for lines in one.keys() & other.keys()]


# -- what may not be loaded ------------------------------------------------------------------------


def test_nothing_unpickles():
    """A file that somebody sends must not be able to run code."""
    forbidden = ("cloudpickle", "dill", "joblib", "shelve", "marshal")
    for file in source_files():
        names = imported_modules(file)
        assert not any(below(name, *forbidden) for name in names), file
        # Of pickle itself only the errors, which torch.load raises.
        used = {name for name in names if below(name, "pickle")} - {"pickle"}
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
                used.add(node.attr)
            if isinstance(node, ast.Call):
                check_call(node, f"{file}:{node.lineno}")
        assert all(name.endswith("Error") for name in used), f"{file}: {used}"


def check_call(node: ast.Call, where: str) -> None:
    name = ast.unparse(node.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in ("torch.load", "torch.hub.load", "load_state_dict_from_url"):
        assert options.get("weights_only") == "True", f"{where}: {name} without weights_only=True"
    assert options.get("allow_pickle", "False") == "False", f"{where}: allow_pickle"
    assert name not in ("eval", "exec"), f"{where}: {name}"


def test_torch_load_is_never_hidden_behind_another_name():
    """`from torch import load` would escape the test above."""
    for file in source_files():
        assert not {"torch.load", "numpy.load"} & imported_modules(file), file


def test_packages_are_typed_for_those_who_import_them():
    """Strict type checkers take only what is imported as itself for part of a package."""
    listed = project()["tool"]["setuptools"]["package-data"]
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").exists() and "py.typed" in listed[package]
    for path in ROOT.glob("*/**/__init__.py"):
        text = path.read_text(encoding="utf-8")
        if "handing_on(__name__" in text and path.parent.name != ".venv":
            guarded = [each for each in ast.parse(text).body if isinstance(each, ast.If)]
            names = [name for block in guarded for node in block.body for name in node.names]
            assert names and all(name.asname == name.name for name in names), path


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    here = project()["project"]
    assert f"\nversion: {here['version']}\n" in text and f"license: {here['license']}\n" in text
