"""The code of the README does what the README says."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

README = Path(__file__).parents[1] / "README.md"


def code_below(heading: str) -> str:
    """The first program of a section."""
    text = README.read_text(encoding="utf-8")
    section = text[text.index(f"## {heading}") :]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


def test_a_training_loop_around_the_core_learns_its_text(capsys):
    code = code_below("Use the core in your own training loop")
    names: dict = {}
    exec(code, names)
    assert names["loss"] < 0.3
    assert names["written"] == "to be, or not to be, that is the question: "
    assert names["written"] in capsys.readouterr().out
    assert len(code.splitlines()) <= 45


def test_a_whole_training_in_code_learns_and_is_resumed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = code_below("A whole training in code")
    names: dict = {}
    exec(code, names)
    assert names["best"]["loss"] < 0.05
    run = tmp_path / "runs" / "waves"
    assert {"model.safetensors", "metrics.jsonl", "config.json"} <= {p.name for p in run.iterdir()}
    assert list(run.rglob("events.out.tfevents.*"))
    assert "best validation loss" in capsys.readouterr().out
    assert len(code.splitlines()) <= 45

    monkeypatch.chdir(tmp_path / "runs")
    calls, real = iter(range(50)), nn.functional.mse_loss

    def killed(*arguments: torch.Tensor) -> torch.Tensor:
        next(calls)
        return real(*arguments)

    monkeypatch.setattr(nn.functional, "mse_loss", killed)
    with pytest.raises(StopIteration):
        exec(code, {})
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path / "runs")
    again: dict = {}
    exec(code, again)
    assert "resuming after step" in capsys.readouterr().err
    assert again["best"] == names["best"], "bit for bit"


def anchor(heading: str) -> str:
    """What a heading is called in a link, as Markdown pages name it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize(
    "name", ["README.md", "experiments/README.md", "common/recurrent/README.md"]
)
def test_every_link_inside_the_project_leads_somewhere(name):
    page = README.parent / name
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r'src="([^"]+)"', text)
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text) + pictures:
        path, _, part = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if part:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert part in map(anchor, headings), target


def test_the_contents_name_every_section():
    text = README.read_text(encoding="utf-8")
    contents = next(line for line in text.splitlines() if " · " in line)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert re.findall(r"\(#([\w-]+)\)", contents) == [anchor(heading) for heading in headings]
