"""A captioner of a SentencePiece model that its user brings."""

from __future__ import annotations

from dataclasses import replace

from captioning import Captioner
from captioning.data import load
from captioning.train import train
from common.models.options import TextOptions
from common.synthetic.scenes import write_scenes
from tests.captioning.test_captioner import tiny_options
from tests.common.text.test_foreign_subwords import write_model


def test_a_captioner_keeps_a_model_that_is_given(tmp_path, capsys):
    write_scenes(tmp_path / "scenes", train=8, val=3, held_out=2, size=32)
    images = load(tmp_path / "scenes").split("train")
    texts = [text for image in images for text in image.captions]
    path = write_model(tmp_path / "any.model", texts * 3, pad_id=0, unk_id=3, bos_id=1, eos_id=2)
    text = TextOptions(tokenizer="subwords", subword_model=str(path))
    options = tiny_options(tmp_path / "scenes", tmp_path / "run", text=text, shown_images=0)
    train(replace(options, training=replace(options.training, epochs=1)))
    assert "covers 100.0% of the training text" in capsys.readouterr().err
    model = path.read_bytes()
    path.unlink()  # is no longer needed
    train(replace(options, resume=True))
    captioner = Captioner.from_run(tmp_path / "run", device="cpu")
    assert captioner.language.tokenizer.model == model
    (caption,) = captioner.caption([images[0].path], prefix="a red")
    assert caption.startswith("a red")
