"""What `--config` names: a preset, a run's config.json, or a JSON file with a part of one."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from common.cli.arguments import Option
from common.config.marks import File
from common.config.plain import of_today, restored
from common.errors import UserError
from common.files import read_json
from common.runs.contents import describes_run

CONFIG = Option(
    "config", Path, File,
    "Values in the place of the defaults: the name of a preset, a run's config.json, or a JSON file "
    "with a part of one. The command line overrides them.",
)  # fmt: skip


def presets(options: type) -> dict[str, Path]:
    """Those of a training, by name: the JSON files in `presets`, beside the module of its options.

    Each has the text `about`, and the values `config`, nested as in a run's config.json.
    """
    folder = Path(inspect.getfile(options)).parent / "presets"
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def about_preset(path: Path) -> str:
    """What a preset is, in a line."""
    return str(read_json(path)["about"])


def read_config(name: str, options: type, kind: str | None = None) -> dict[str, Any]:
    """The values of a preset or a file, nested; those of a run without what is that run's alone.

    Args:
        name: of a preset, or a path.
        options: of the training.
        kind: of its runs.

    Raises:
        UserError: there is none, a name in it is unknown, or a value impossible.
    """
    path = presets(options).get(name, Path(name))
    if not path.is_file():
        listed = ", ".join(presets(options))
        raise UserError(
            f"--config {name}: there is no such file"
            + (f", and presets are {listed}." if listed else ".")
        )
    values = read_json(path)
    if describes_run(values):
        if kind not in (None, values["kind"]):
            raise UserError(f"{path} is of a {values['kind']}, not of a {kind}.")
        values = of_today(options, values["format"], values["config"])
        # Another run has a folder of its own, and its own command line says what it replaces.
        own = ("run_dir", "resume", "overwrite")
        values = {name: value for name, value in values.items() if name not in own}
    elif isinstance(values, dict) and "config" in values:
        values = values["config"]
    return restored(options, values, str(path))
