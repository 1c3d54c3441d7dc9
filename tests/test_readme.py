"""The code of the README does what the README says."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_a_training_loop_around_the_core_learns_its_text(capsys):
    text = README.read_text(encoding="utf-8")
    section = text[text.index("## Use the core in your own training loop") :]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    names: dict = {}
    exec(code, names)
    assert names["loss"] < 0.3
    assert names["written"] == "to be, or not to be, that is the question: "
    assert names["written"] in capsys.readouterr().out
    assert len(code.splitlines()) <= 45
