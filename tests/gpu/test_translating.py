"""The translator's command lines on a GPU: trained, resumed, evaluated and used."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from common.compute.device import choose_device
from common.decoding import Greedy, Sampling
from common.errors import UserError
from seq2seq import Translator
from seq2seq.evaluation import alignment
from tests.gpu.commands import command, options

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "cats": "katzen"}
TINY = {
    "min_count": 1, "encoder_size": 8, "source_embedding_size": 8, "embedding_size": 8,
    "hidden_size": 16, "attention_size": 8, "beam_size": 3, "max_length": 8, "batch_size": 16,
    "shown_sentences": 2, "validation_sentences": 6, "source": "en", "target": "de",
}  # fmt: skip

# Together: each attention, both places, gate, queries with the last word, every way in for a vector,
# scheduled sampling, coverage, several layers and directions, every cell and readout, averages.
TRANSLATORS: dict[str, dict[str, Any]] = {
    "vector": {
        "attention": "none", "inject": "init every output", "bidirectional": False,
        "reverse_source": True, "cell": "gru_cho", "encoder_cell": "gru_cho",
    },
    "first": {"attention": "none", "inject": "first", "summary": "mean", "cell": "rnn_relu"},
    "additive": {"encoder_layers": 2, "num_layers": 2, "gate": True, "layer_dropout": 0.2},
    "dot": {"attention": "dot", "attend": "after", "cell": "lstm", "encoder_cell": "lstm"},
    "general": {
        "attention": "general", "attend": "after", "gate": True, "summary": "max",
        "deep_output": True, "encoder_cell": "rnn", "cell": "rnn",
    },
    "concat": {
        "attention": "concat", "query_word": True, "readout": "maxout", "coverage": 1.0,
        "accumulate": 2, "word_dropout": 0.2,
    },
    "sampling": {
        "teacher_forcing_ratio": 0.3, "average_decay": 0.9, "schedule": "plateau",
        "num_layers": 2, "encoder_layers": 2, "encoder_cell": "lstm", "cell": "lstm",
    },
    "sampling after": {
        "teacher_forcing_ratio": 0.3, "teacher_forcing_per": "sentence", "attend": "after",
        "attention": "general", "tokenizer": "characters", "tie_embeddings": True, "max_length": 20,
    },
}  # fmt: skip


def write_pairs(folder: Path, name: str, count: int, seed: int) -> None:
    generator = random.Random(seed)
    lines = [generator.choices(list(WORDS), k=generator.randint(1, 4)) for _ in range(count)]
    (folder / f"{name}.en").write_text("".join(" ".join(line) + "\n" for line in lines))
    translated = [" ".join(WORDS[word] for word in reversed(line)) for line in lines]
    (folder / f"{name}.de").write_text("".join(line + "\n" for line in translated))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    for name, count, seed in (("train", 64, 0), ("val", 8, 1), ("test", 6, 2)):
        write_pairs(folder, name, count, seed)
    return folder


def train(data: Path, run: Path, device: Any, **changes: Any) -> None:
    values = TINY | {"cache_dir": run.parent / "cache", "epochs": 2} | changes
    command("seq2seq", "train", options(data=data, run_dir=run, device=device, **values))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", TRANSLATORS)
def test_a_translator(device, data, tmp_path, capsys, kind, precision):
    run, choices = tmp_path / "run", TRANSLATORS[kind] | {"precision": precision}
    train(data, run, device, epochs=1, **choices)
    train(data, run, device, **choices, resume=True)
    assert "resuming after step" in capsys.readouterr().err
    command(
        "seq2seq", "evaluate", run, options(split="test", device=device, search_precision=precision)
    )
    assert "bleu" in capsys.readouterr().out
    (written,) = run.glob("evaluation-test*.json")
    assert json.loads(written.read_text())["loss"] > 0

    lines = tmp_path / "lines"
    lines.write_text("one two\n\ncats four three one\n")
    looks = choices.get("attention") != "none"
    more = {"alignments": tmp_path / "sheet.png", "replace_unknown": True} if looks else {}
    command("seq2seq", "translate", run, lines, options(device=device, n_best=2, **more))
    assert len(capsys.readouterr().out.splitlines()) == 6
    if looks:
        assert Image.open(tmp_path / "sheet.png").width > 50

    here = Translator.from_run(run, device="cpu")
    there = Translator.from_run(run, device=str(device))
    texts = ["one two three", "cats"]
    assert here.translate(texts, precision="fp32") == there.translate(texts, precision="fp32")
    for search in (Greedy(), Sampling(top_p=0.9)):
        assert len(there.translate(texts, search, precision=precision)) == 2
        begun = there.translate(texts, search, prefix=["vier", ""], precision=precision)
        assert begun[0].startswith("vier")
    scores = [each.score(texts, ["drei zwei", ""]) for each in (here, there)]
    for one, other in zip(*scores, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-3)
    if looks:
        weights = there.attention(["one", "two"], ["eins"])
        assert weights.device.type == "cpu" and weights.dtype == torch.float32
        (best,) = there.translations(["one two"], keep_attention=True)
        assert best[0].attention is not None and best[0].attention.device.type == "cpu"
        drawn = alignment(there, "one two", best[0])
        assert drawn is None or drawn.width > 50


def test_a_run_that_begins_with_another(device, data, tmp_path, capsys):
    """The model of the other run, and its weights on the device; resumed by its folder alone."""
    more = tmp_path / "more"
    more.mkdir()
    for language, line in (("en", "one dogs\n"), ("de", "hunde eins\n")):
        for split in ("train", "val"):
            (more / f"{split}.{language}").write_text(line * 4)
    train(data, tmp_path / "other", device, epochs=1, tie_embeddings=True, readout_size=8)
    new = {"run_dir": tmp_path / "new", "init_from": tmp_path / "other", "device": device}
    how = {"source": "en", "target": "de", "cache_dir": tmp_path / "cache", "learning_rate": 0}
    command("seq2seq", "train", options(data=more, epochs=1, precision="fp32", **new, **how))
    said = capsys.readouterr().err
    assert (
        "encoder, decoder (5 of 6 rows of encoder.embedding, decoder.embedding, decoder.out" in said
    )
    ours, theirs = (Translator.from_run(tmp_path / n, device=str(device)) for n in ("new", "other"))
    for name, tensor in ours.model.state_dict().items():
        assert tensor.device == device
        if "embedding" not in name and "output" not in name:
            assert torch.equal(tensor, theirs.model.state_dict()[name]), name
    (here,), (there,) = (each.target.vocabulary.encode(["eins"]) for each in (ours, theirs))
    rows = ours.model.decoder.embedding.weight[here], theirs.model.decoder.embedding.weight[there]
    assert torch.equal(*rows)
    resumed = options(run_dir=tmp_path / "new", cache_dir=tmp_path / "cache", epochs=2)
    command("seq2seq", "train", resumed, "--resume")
    assert "resuming after step" in capsys.readouterr().err


def test_an_ensemble(device, data, tmp_path, capsys):
    for seed in (0, 1):
        train(data, tmp_path / f"run{seed}", device, seed=seed, epochs=1)
    first, second = tmp_path / "run0", tmp_path / "run1"
    more = options(ensemble=second, device=device)
    command("seq2seq", "evaluate", first, more)
    lines = tmp_path / "lines"
    lines.write_text("one two\n")
    command("seq2seq", "translate", first, lines, more, options(alignments=tmp_path / "sheet.png"))
    assert Image.open(tmp_path / "sheet.png").width > 50
    both = Translator.from_run(first, second, device=str(device))
    assert both.translate(["one two"], precision="fp32") == Translator.from_run(
        first, second, device="cpu"
    ).translate(["one two"], precision="fp32")


def test_samples_come_from_a_generator_of_the_device(device, data, tmp_path):
    train(data, tmp_path / "run", device, epochs=1)
    model = Translator.from_run(tmp_path / "run", device=str(device)).model
    tokens, lengths = torch.tensor([[4, 5, 3], [6, 3, 0]]), torch.tensor([3, 2])

    def drawn(seed: int):
        generator = torch.Generator(device=device).manual_seed(seed)
        return model.generate(
            tokens.to(device),
            lengths,
            search=Sampling(num_samples=4, top_k=5, top_p=0.9, temperature=1.5, max_length=6),
            generator=generator,
        )

    assert drawn(1) == drawn(1)


def test_an_unknown_device_is_one_line(data, tmp_path):
    with pytest.raises(SystemExit, match="error: --device warp: PyTorch knows no such device here"):
        train(data, tmp_path / "run", "warp")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="cannot be used here"):
        choose_device("cuda:63")
