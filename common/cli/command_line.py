"""The commands of a program: their options, and what they print and refuse alike."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from common.cli.arguments import Option, Parser, options_of, read_arguments
from common.cli.beginning import Beginning, begin, refuse_typed_changes, typed_early
from common.config.marks import File
from common.config.plain import defaults, dotted, from_dict, nested, of_today, restored
from common.decoding.search import BeamSearch, Greedy, Sampling
from common.errors import UserError, printable, run_command
from common.files import expanded, read_json
from common.models.options import WritingOptions
from common.progress import quietly, warn
from common.runs.contents import describes_run
from common.training.options import RunOptions

if TYPE_CHECKING:
    from common.text.language import Language
    from common.training.task import Evaluation

Options = TypeVar("Options")

CONFIG = Option(
    "config", Path, File,
    "Values in the place of the defaults: the name of a preset, a run's config.json, or a JSON file "
    "with a part of one. The command line overrides them.", alias="--preset",
)  # fmt: skip


def parse(
    commands: Mapping[str, type[Any]],
    kind: str | None = None,
    *,
    prog: str,
    description: str,
    configs: Mapping[str, str] = {},
) -> Any:
    """The options of the command that the arguments of this process name.

    Args:
        commands: the options of each command; those of "train" are what a run keeps.
        kind, prog, description: as `parse_options` takes them.
        configs: presets that commands begin with where no `--config` is given.

    Raises:
        UserError: as `parse_options`.
    """
    name, *arguments = sys.argv[1:] or [""]
    if name in commands:
        return parse_options(
            commands[name], arguments, prog=f"{prog} {name}", kind=kind,
            config=configs.get(name), trained=commands.get("train"),
        )  # fmt: skip
    parser = Parser(prog, f"{prog} COMMAND ...", description)
    listed = parser.add_argument_group("commands, each with a --help of its own")
    for each, options in commands.items():
        about = about_presets(options).get(configs.get(each, ""))
        listed.add_argument(each, help=about or inspect.getdoc(options))
    if name in ("-h", "--help"):
        parser.print_help()
        sys.exit()
    parser.error(f"{f'{name} is no command: ' if name else ''}choose one of {', '.join(commands)}")


def parse_options(
    options: type[Options],
    arguments: Sequence[str] | None = None,
    *,
    prog: str,
    description: str | None = None,
    kind: str | None = None,
    config: str | None = None,
    trained: type[Any] | None = None,
) -> Options:
    """The options that some arguments give, over those of `--config`, over the defaults.

    A training that goes on begins with the options of its run (see `begin`). What writes with a trained
    run takes the search that is not given from there.

    Args:
        options: their dataclass.
        arguments: those of this process by default.
        prog, description: of the help; the docstring of the dataclass by default.
        kind: of the runs.
        config: the `--config` of a training whose arguments give none.
        trained: the options of a training, for what writes with its runs.

    Raises:
        UserError: a value is impossible, or the options of the search contradict each other, or a run
            that is resumed may not change one that is given.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    start, found, remarks = dict(dotted(defaults(options))), list(options_of(options)), {}
    begun = Beginning(start)
    if issubclass(options, RunOptions):
        config, early = typed_early(found, arguments, prog, config)
        named = {} if config is None else dict(dotted(read_config(config, options, kind)))
        begun = begin(options, found, start, named, early, config, kind)
        start = begun.values | {"config": config}
        found.insert(0, CONFIG)
        lines = [f"{name:<20}  {about}" for name, about in about_presets(options).items()]
        remarks = {"presets, for --config": "\n".join(lines)} if lines else {}
    elif issubclass(options, WritingOptions):
        start = {name: value for name, value in start.items() if not name.startswith("search.")}
    given = read_arguments(
        found, arguments, start, remarks=remarks, lacking=begun.lacking,
        prog=prog, description=description or inspect.getdoc(options) or "",
    )  # fmt: skip
    if issubclass(options, WritingOptions) and trained is not None:
        from common.runs.run import Run

        search = Run.open(given["run"], kind).read_config(trained).search
        start |= dotted({"search": dataclasses.asdict(search)})
        check_search(given, str(start["search.search"]))
    values = start | given
    values.pop("config", None)
    made = from_dict(options, nested(values), "")
    if isinstance(made, RunOptions) and begun.resumed is not None:
        refuse_typed_changes(found, given, made, begun.resumed)
    if isinstance(made, WritingOptions):
        made.search.strategy()
    return made


def check_search(given: Mapping[str, Any], search: str) -> None:
    """Refuse an option of another search than the one that writes: it would change nothing.

    Args:
        given: the values that were given, by dotted names.
        search: of the run: beam, greedy or sampling.

    Raises:
        UserError: there is one.
    """
    search = given.get("search.search", search)
    strategies = {"beam": BeamSearch, "greedy": Greedy, "sampling": Sampling}
    of_each = {
        name: {field.name for field in dataclasses.fields(each)}
        for name, each in strategies.items()
    }
    for name in (each.removeprefix("search.") for each in given if each.startswith("search.")):
        others = [each for each, names in of_each.items() if name in names]
        if others and search not in others:
            raise UserError(
                f"--{name.replace('_', '-')} is an option of --search {others[0]}, and the search is "
                f"{search}: add --search {others[0]}, or leave it out."
            )


def presets(options: type) -> dict[str, Path]:
    """Those of a training, by name: the JSON files in `presets`, beside the module of its options.

    Each has the text `about`, and the values `config`, nested as in a run's config.json.
    """
    folder = Path(inspect.getfile(options)).parent / "presets"
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def about_presets(options: type) -> dict[str, str]:
    """What each preset is, in a line."""
    return {name: str(read_json(path)["about"]) for name, path in presets(options).items()}


def read_config(name: str, options: type, kind: str | None = None) -> dict[str, Any]:
    """The values of a preset or a file, nested; those of a run without what is that run's alone.

    Args:
        name: of a preset, or a path.
        options: of the training.
        kind: of its runs.

    Raises:
        UserError: there is none, a name in it is unknown, or a value impossible.
    """
    path = presets(options).get(name, expanded(name))
    if not path.is_file():
        listed = ", ".join(presets(options))
        known = f", and presets are {listed}" if listed else ""
        raise UserError(f"--config {name}: there is no such file{known}.")
    values = read_json(path)
    if describes_run(values):
        if kind not in (None, values["kind"]):
            raise UserError(f"{path} is of a {values['kind']}, not of a {kind}.")
        values = dict(of_today(options, values["format"], values["config"]))
        # Another run has a folder of its own, and its own command line says what it replaces.
        for own in ("run_dir", "resume", "overwrite"):
            values.pop(own, None)
    elif isinstance(values, dict) and "config" in values:
        values = values["config"]
    return restored(options, values, str(path))


def run_program(
    package: str,
    commands: Mapping[str, type[Any]],
    kind: str,
    *,
    description: str,
    apart: Sequence[str] = (),
) -> None:
    """Run the command that the arguments of this process name: a function of the module `commands` of
    a package, called with its options.

    The module is imported once the options are read, and not before: PyTorch takes seconds.

    Args:
        package: its name, which is that of the program too.
        commands, kind, description: as `parse` takes them.
        apart: commands in modules of their own names, which need no PyTorch.
    """

    def main() -> None:
        options = parse(commands, kind, prog=f"python -m {package}", description=description)
        with quietly(getattr(options, "quiet", False)):
            name = sys.argv[1]
            module = import_module(f"{package}.{name if name in apart else 'commands'}")
            getattr(module, name)(options)

    run_command(main)


def run_options(
    do: Callable[[Options], object],
    options: type[Options],
    *,
    prog: str,
    description: str | None = None,
) -> None:
    """Run a program of one command: a function, called with the options that the arguments give.

    Args:
        do: the function.
        options: their dataclass.
        prog, description: as `parse_options` takes them.
    """

    def main() -> None:
        chosen = parse_options(options, prog=prog, description=description)
        with quietly(getattr(chosen, "quiet", False)):
            do(chosen)

    run_command(main)


def print_metrics(evaluation: Evaluation) -> None:
    """Print what an evaluation found; see `print_scores`."""
    print_scores(evaluation.metrics, evaluation.signatures, evaluation.notes)


def print_scores(
    metrics: Mapping[str, float], signatures: Mapping[str, str], notes: Sequence[str] = ()
) -> None:
    """Print each metric by its name, with its signature, if it has one: how it was computed; and what is
    to be noted of them."""
    for name, value in metrics.items():
        print(f"{name:<18}{value:>10.4f}  {signatures.get(name, '')}".rstrip(), flush=True)
    for note in notes:
        print(note, flush=True)


def note_unknown(language: Language, texts: Iterable[str], option: str) -> None:
    """Say which words of some prefixes the run does not know, in one line, if there are any."""
    if words := list(dict.fromkeys(word for text in texts for word in language.unknown(text))):
        more = f" and {len(words) - 5:,} more" if len(words) > 5 else ""
        line = (
            f"{option}: {', '.join(map(repr, words[:5]))}{more}: not in the vocabulary of this run"
        )
        what = "written as it stands, and the model reads its unknown word"
        warn(printable(f"{line}; {what}"))


def check_file(path: Path | None, option: str) -> None:
    """Refuse a file that is not there by a `UserError`, before the work that precedes reading it."""
    if path is not None and not path.is_file():
        raise UserError(f"{option} {path}: there is no such file.")


def check_picture(path: Path, option: str) -> None:
    """Refuse a picture's path before the work whose result it shows, and not after it.

    Raises:
        UserError: it is no PNG's, or its folder does not exist.
    """
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UserError(f"{option} {path}: a PNG is written; name a file that ends in .png.")
    check_output(path, option)


def check_output(path: Path, option: str) -> None:
    """Refuse a path that no file can be written to, before the work whose result it holds.

    Raises:
        UserError: it is a folder's or a device's, or its folder does not exist.
    """
    if path.is_dir():
        raise UserError(f"{option} {path} is a folder: name a file.")
    if path.exists() and not path.is_file():  # a device would be replaced by a file
        raise UserError(f"{option} {path} is no regular file: name another.")
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.parent}. Make it first.")
