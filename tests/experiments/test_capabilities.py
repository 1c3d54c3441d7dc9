"""The table of what every cell can do is that of the present code."""

from experiments.capabilities import PAGE, table, with_table


def test_the_table_is_current():
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text) == text, "run python -m experiments.capabilities"


def test_it_says_what_is_so():
    heading, *rows = table()
    cells = {row[0]: dict(zip(heading, row, strict=True)) for row in rows}
    assert cells['`"lstm"`']["recurrent dropout"] == "loop"
    assert cells['`"lstm"`']["weight dropout"] == "x" and cells['`"lstm"`']["parallel"] == ""
    assert (
        cells["`MinGRUCell`"]["recurrent dropout"] == ""
        and cells["`MinGRUCell`"]["parallel"] == "x"
    )
    assert all(row["mask"] == row["resets"] == row["loop"] == "x" for row in cells.values())
