"""Packages that hand on names from their modules, and import a module when its name is asked for.

PyTorch takes seconds to import. A command line that only reads its options imports packages whose
other modules need it, and should not wait for it.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def handing_on(package: str, file: str) -> tuple[list[str], Callable[[str], Any]]:
    """The `__all__` and the `__getattr__` (PEP 562) of a package.

    What is handed on are the names that its `__init__.py` imports `if TYPE_CHECKING`, as themselves
    (`import Run as Run`), so that they are listed once, and strict type checkers see them (PEP 484).

    Args:
        package: its full name.
        file: its `__init__.py`.
    """
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    guarded = [node for block in tree.body if isinstance(block, ast.If) for node in block.body]
    homes = {
        name.name: node.module
        for node in guarded
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    }

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return sorted(homes), get
