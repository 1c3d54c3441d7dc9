"""The data set: complete or absent, the same again, and nobody else's files touched."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from PIL import Image

from common.errors import UserError
from common.synthetic.scenes import Scene, generate, write_scenes


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "scenes.jsonl").read_text().splitlines()]


def test_the_data_set_says_all_about_its_pictures(tmp_path: Path):
    write_scenes(tmp_path / "a" / "scenes", train=6, val=3, held_out=2, seed=4, size=24)
    folder = tmp_path / "a" / "scenes"
    lines = lines_of(folder)
    assert [line["split"] for line in lines] == ["train"] * 6 + ["val"] * 3 + ["val_held_out"] * 2
    assert len(files_of(folder)) == 12
    for line in lines:
        index = int(Path(line["image"]).stem)
        made = generate(4, index, line["split"])
        assert Scene.from_dict(line["scene"]) == made
        assert line["captions"] == made.captions()
        assert made.draw(24).tobytes() == _pixels(folder / line["image"])


def _pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.tobytes()


def test_the_first_scenes_do_not_depend_on_how_many_are_made(tmp_path: Path):
    for name, train in (("few", 3), ("more", 5)):
        write_scenes(tmp_path / name, train=train, val=1, held_out=0, size=8)
    few, more = (files_of(tmp_path / name) for name in ("few", "more"))
    assert all(few[name][1] == more[name][1] for name in few if name.endswith(".png"))


def test_the_same_data_set_is_left_as_it_is(tmp_path: Path):
    for _ in range(2):
        write_scenes(tmp_path / "scenes", train=4, val=1, held_out=1, size=8)
        before = files_of(tmp_path / "scenes")
    assert files_of(tmp_path / "scenes") == before
    with pytest.raises(UserError, match="other settings"):
        write_scenes(tmp_path / "scenes", train=5, val=1, held_out=1, size=8)
    with pytest.raises(UserError, match="other settings"):
        write_scenes(tmp_path / "scenes", train=4, val=1, held_out=1, size=9)
    assert files_of(tmp_path / "scenes") == before
    (tmp_path / "scenes" / "train" / "000002.png").unlink()
    with pytest.raises(UserError, match="damaged"):
        write_scenes(tmp_path / "scenes", train=4, val=1, held_out=1, size=8)


def test_files_of_others_are_never_touched(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.txt").write_text("miaow")
    (tmp_path / "file").write_text("mine")
    before = files_of(tmp_path)
    for name in ("photos", "file"):
        with pytest.raises(UserError, match=name):
            write_scenes(tmp_path / name, train=2, val=1, held_out=1, size=8)
    assert files_of(tmp_path) == before


def test_an_empty_folder_is_filled(tmp_path: Path):
    (tmp_path / "scenes").mkdir()
    write_scenes(tmp_path / "scenes", train=1, val=0, held_out=0, size=8)
    assert len(lines_of(tmp_path / "scenes")) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_call_leaves_nothing(tmp_path: Path, monkeypatch, error):
    draw, drawn = Scene.draw, itertools.count()

    def interrupted(self: Scene, size: int = 64):
        if next(drawn) == 3:
            raise error
        return draw(self, size)

    monkeypatch.setattr(Scene, "draw", interrupted)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        write_scenes(tmp_path / "scenes", train=4, val=1, held_out=1, size=8)
    assert list(tmp_path.iterdir()) == []
    write_scenes(tmp_path / "scenes", train=4, val=1, held_out=1, size=8)
    assert len(lines_of(tmp_path / "scenes")) == 6


def test_impossible_data_sets_are_refused(tmp_path: Path):
    for values in ({"train": -1}, {"size": 0}, {"most": 4}, {"fewest": 0}):
        with pytest.raises(ValueError):
            write_scenes(tmp_path / "scenes", **values)
    assert list(tmp_path.iterdir()) == []
