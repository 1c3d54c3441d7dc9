"""The whole captioner: trained, saved, loaded, resumed, evaluated, and asked at the command line."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from captioning import Captioner
from captioning.commands import caption
from captioning.data import load
from captioning.evaluation import overlaid
from captioning.model import build_model
from captioning.options import CaptionOptions, EncoderOptions, TrainOptions
from captioning.train import evaluate_run, train
from common.decoding import BeamSearch, Greedy, Sampling
from common.decoding.options import DecoderOptions, SearchOptions
from common.errors import UserError
from common.models.options import LossOptions, TextOptions
from common.synthetic.scenes import write_scenes
from common.text.vocabulary import Vocabulary
from common.training.options import TrainingOptions
from tests.commands import assert_refused_at_once, replace_words, run_here, run_module
from tests.searches import MISTAKES, OF_ANOTHER, SEARCHES, answers, assert_obeyed, assert_recorded
from tests.tolerances import assert_same_sums, rounding, same_log_probability


def tiny_options(data: Path, run: Path, **changes) -> TrainOptions:
    """A captioner so small that an epoch takes a second."""
    options = TrainOptions(
        data=str(data),
        run_dir=run,
        text=TextOptions(min_count=1),
        cache_dir=run.parent / "cache",
        shown_images=2,
        encoder=EncoderOptions(
            encoder="small", weights="none", image_size=32, memory_size=16, vector_size=16,
            feature_dropout=0.0,
        ),
        decoder=DecoderOptions(
            cell="gru", attention="additive", embedding_size=16, hidden_size=32,
            attention_size=16, embedding_dropout=0.1, output_dropout=0.1,
        ),
        search=SearchOptions(beam_size=2, max_length=12, search_precision="fp32"),
        training=TrainingOptions(
            epochs=2, batch_size=20, patience=0, device="cpu", precision="fp32"
        ),
    )  # fmt: skip
    return replace(options, **changes)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(folder, train=24, val=6, held_out=4, size=32)
    return folder


@pytest.fixture(scope="module")
def run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_options(scenes, folder))
    return folder


def pictures(scenes: Path, split: str = "val") -> list[Path]:
    return [image.path for image in load(scenes).split(split)]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run_module("captioning", *arguments)


def test_a_run_holds_all_that_its_captions_need(run, scenes, tmp_path):
    moved = run.rename(tmp_path / "moved")
    try:
        captioner = Captioner.from_run(moved, device="cpu")
        captions = captioner.caption(pictures(scenes))
        written = [json.loads(line) for line in (moved / "captions-val.jsonl").open()]
        assert captions == [line["caption"] for line in written]
        assert Image.open(moved / "captions-val.png").width > 200  # of the images that are shown
    finally:
        moved.rename(run)


def test_a_picture_gets_the_same_caption_alone_and_in_any_batch(run, scenes):
    captioner = Captioner.from_run(run, device="cpu")
    captioner.model.double()
    paths = pictures(scenes)
    together = captioner.captions(paths, BeamSearch(beam_size=3, n_best=2))
    for path, best in zip(paths, together, strict=True):
        (alone,) = captioner.captions([path], BeamSearch(beam_size=3, n_best=2))
        assert [each.text for each in alone] == [each.text for each in best]
        for one, other in zip(alone, best, strict=True):
            assert one.log_probability == same_log_probability(
                other.log_probability, terms=len(captioner.language.vocabulary) + 41
            )


def test_samples_constraints_and_bounds_are_of_a_call(run, scenes):
    captioner = Captioner.from_run(run, device="cpu")
    (path, *_) = pictures(scenes)

    def drawn(seed: int) -> list[str]:
        generator = torch.Generator().manual_seed(seed)
        search = Sampling(num_samples=3, max_length=8)
        (found,) = captioner.captions([path], search, generator=generator)
        return [each.text for each in found]

    assert drawn(0) == drawn(0) and len(drawn(0)) == 3
    with pytest.raises(ValueError, match="min_length"):
        BeamSearch(min_length=6, max_length=3)

    first = captioner.language.vocabulary.encode(["red"])[0]

    def begins_with_red(tokens, sentences, logits):
        if tokens.shape[1] == 0:
            others = torch.ones(logits.shape[1], dtype=torch.bool)
            others[first] = False
            logits[:, others] = -torch.inf
        return logits

    (text,) = captioner.caption([path], Greedy(max_length=8), constraints=[begins_with_red])
    assert text.startswith("red")


@pytest.mark.parametrize(
    ("how", "message"),
    MISTAKES,
    ids=str,
)
def test_how_a_search_is_chosen_is_said(run, scenes, how, message):
    with pytest.raises(TypeError, match=message):
        Captioner.from_run(run, device="cpu").caption(pictures(scenes), **how)


@pytest.mark.parametrize("options", SEARCHES)
def test_any_search_is_chosen_at_the_command_line(run, scenes, options):
    """The same seed draws the same captions, and all that a search returns are printed."""
    search = SEARCHES[options]
    command = ["caption", run, scenes / "val", "--json", *options.split(), "--seed", 1]
    first, again = run_here("captioning", *command), run_here("captioning", *command)
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout
    found = [json.loads(line)["captions"] for line in first.stdout.splitlines()]
    assert {len(best) for best in found} == {answers(search)}
    assert_obeyed(search, [each["tokens"] for best in found for each in best])
    if search["search"] == "Sampling":
        assert run_here("captioning", *command[:-1], 2).stdout != first.stdout
    command.remove("--json")
    lines = run_here("captioning", *command).stdout.splitlines()
    assert [line.split("\t")[-1] for line in lines] == [e["text"] for best in found for e in best]

    done = run_here("captioning", "evaluate", run, *options.split(), "--seed", 1)
    assert done.returncode == 0 and "cider_d" in done.stdout
    newest = max(run.glob("evaluation-val-*.json"), key=os.path.getmtime)
    assert_recorded(search, json.loads(newest.read_text()))


@pytest.mark.parametrize(("options", "message"), OF_ANOTHER)
def test_an_option_that_changes_nothing_is_refused(run, scenes, options, message):
    for command in (["caption", run, scenes / "val"], ["evaluate", run]):
        done = run_here("captioning", *command, *options.split())
        assert done.returncode == 1 and message in done.stderr and not done.stdout


def test_an_ensemble_of_a_run_with_itself_says_the_same(run, scenes, tmp_path):
    alone, twice = (Captioner.from_run(*runs, device="cpu") for runs in ((run,), (run, run)))
    for captioner in (alone, twice):
        captioner.model.double()
    assert alone.caption(pictures(scenes)) == twice.caption(pictures(scenes))
    (path, *_) = pictures(scenes)
    torch.testing.assert_close(alone.attention(path, ["a"]), twice.attention(path, ["a"]))
    alone = evaluate_run(run, "val_held_out", device="cpu")
    together = evaluate_run(run, "val_held_out", ensemble=[run], device="cpu")
    for name in ("cider_d", "perplexity"):
        assert together.metrics[name] == pytest.approx(alone.metrics[name], rel=rounding(1000))


def test_attention_covers_every_word_and_sums_to_one(run, scenes):
    captioner = Captioner.from_run(run, device="cpu")
    (path, *_) = pictures(scenes)
    (best,) = captioner.captions([path])
    weights = captioner.attention(path, best[0].tokens)
    assert weights.shape == (len(best[0].tokens) + 1, 16)  # 32 / 8 = 4 x 4 regions
    assert_same_sums(weights.sum(1), torch.ones(len(weights)), terms=2 * 16)


def test_a_model_built_in_code_is_saved_and_read_again(run, scenes, tmp_path):
    trained = Captioner.from_run(run, device="cpu")
    paths = pictures(scenes)
    first = trained.captions(paths)
    trained.save(tmp_path / "saved")
    with pytest.raises(UserError, match=r"built in code: build it again.*model=mine"):
        Captioner.from_run(tmp_path / "saved", device="cpu")
    with pytest.raises(UserError, match="holds a run already"):
        trained.save(tmp_path / "saved")
    mine = build_model(tiny_options(scenes, run), trained.language.vocabulary, weights="none")
    again = Captioner.from_run(tmp_path / "saved", model=mine, device="cpu")
    assert (again.search, again.transform) == (trained.search, trained.transform)
    assert again.captions(paths) == first
    with pytest.raises(UserError, match="another architecture"):
        Captioner.from_run(tmp_path / "saved", model=nn.Linear(2, 2), device="cpu")
    with pytest.raises(ValueError, match="one model takes the weights of one run"):
        Captioner.from_run(run, run, model=mine, device="cpu")
    # And a folder of a training takes a model of one's own as well.
    own = build_model(tiny_options(scenes, run), trained.language.vocabulary, weights="none")
    assert Captioner.from_run(run, model=own, device="cpu").captions(paths) == first


def test_a_caption_is_shown_with_the_attention_it_was_written_with(run, scenes):
    captioner = Captioner.from_run(run, device="cpu")
    (path, *_) = pictures(scenes)
    (best,) = captioner.captions([path], keep_attention=True)
    again = captioner.attention(path, best[0].tokens)
    attention = best[0].attention
    torch.testing.assert_close(attention, again[: len(attention)], atol=1e-4, rtol=1e-4)
    drawn = overlaid(captioner.transform.fitted(path), best[0])
    assert drawn.width > captioner.transform.size


def test_an_evaluation_of_other_data_sees_their_own_pictures(run, scenes, tmp_path):
    """Not those of the training, which has them in a folder of their own."""
    rows = ["image,caption", *(f"{path.name},a thing" for path in pictures(scenes, "train"))]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "captions.txt").write_text("\n".join(rows))
    options = tiny_options(tmp_path / "a", tmp_path / "run", images=scenes / "train", format="csv")
    train(replace(options, training=replace(options.training, epochs=1)))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with pytest.raises(UserError, match="none of the .* images .* is in"):
        evaluate_run(tmp_path / "run", data=str(tmp_path / "b"), device="cpu")
    folder = shutil.copytree(scenes / "train", tmp_path / "moved")
    evaluate_run(
        tmp_path / "run", data=str(tmp_path / "b"), images=folder, format="csv", device="cpu"
    )


def test_a_run_repeats_and_a_resumed_one_ends_the_same(scenes, tmp_path):
    whole = tiny_options(scenes, tmp_path / "whole")
    train(whole)
    part = replace(
        tiny_options(scenes, tmp_path / "part"), training=replace(whole.training, epochs=1)
    )
    train(part)
    train(replace(part, training=whole.training, resume=True))
    ends = [(tmp_path / name / "training.pt") for name in ("whole", "part")]
    first, second = (torch.load(path, weights_only=True)["model"] for path in ends)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_learns_a_handful_of_scenes_by_heart(tmp_path):
    write_scenes(tmp_path / "few", train=4, val=1, held_out=1, size=32)
    lines = [json.loads(line) for line in (tmp_path / "few" / "scenes.jsonl").open()]
    for line in lines:  # the few training scenes are what is validated, one caption each
        line["captions"] = line["captions"][:1]
    few = [line for line in lines if line["split"] == "train"]
    again = [dict(line, split="val", image=line["image"]) for line in few]
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, line in enumerate(few + again):
        name = f"{number}.png"
        Image.open(tmp_path / "few" / line["image"]).save(folder / name)
        line["image"] = name
    with (folder / "captions.jsonl").open("w") as file:
        for line in few + again:
            keys = ("image", "captions", "split")
            file.write(json.dumps({key: line[key] for key in keys}) + "\n")
    options = tiny_options(folder, tmp_path / "run", shown_images=0)
    options = replace(
        options,
        decoder=replace(options.decoder, embedding_dropout=0.0, output_dropout=0.0),
        loss=LossOptions(label_smoothing=0.0),
        training=replace(options.training, epochs=150, learning_rate=0.01, batch_size=4),
        monitor="bleu4",
    )
    evaluation = train(options)
    assert evaluation.metrics["bleu4"] > 0.9


def test_evaluation_writes_scores_and_captions(run, scenes):
    evaluation = evaluate_run(run, "val_held_out", device="cpu")
    written = json.loads((run / "evaluation-val_held_out.json").read_text())
    assert written.pop("search")["beam_size"] == 2 and written.pop("precision") == "fp32"
    assert written.pop("data").endswith("scenes") and written.pop("ensemble") == []
    assert written.pop("signatures")["perplexity"].startswith("teacher-forced, per token of")
    assert written == pytest.approx(evaluation.metrics)
    names = {"bleu1", "bleu4", "rouge_l", "cider_d", "tokens", "seconds", "perplexity"}
    assert names | {"true_captions"} <= set(written)
    assert len((run / "captions-val_held_out.jsonl").read_text().splitlines()) == 4


def test_tensorboard_holds_what_it_promises(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run))
    events.Reload()
    tags = events.Tags()
    scalars = {"1 scores and loss/cider_d", "1 scores and loss/training loss", "(best)/cider_d"}
    scalars |= {"2 validation/bleu4", "2 validation/perplexity", "3 training/gradient_norm"}
    scalars |= {f"3 training/{name}" for name in ("perplexity", "token_accuracy", "learning_rate")}
    scalars |= {"5 speed/tokens_per_second", "5 speed/examples_per_second", "6 memory/process_gib"}
    assert scalars <= set(tags["scalars"])
    attention = [f"4 pictures/with attention/{number}" for number in range(2)]
    assert sorted(tags["images"]) == ["4 pictures/captions", *attention]
    (table,) = events.Tensors("1 texts/captions/text_summary")[-1].tensor_proto.string_val
    assert table.decode().startswith("| image | caption | log-probability | reference |\n")
    assert "2 configuration/text_summary" in tags["tensors"]


def test_features_are_computed_once_and_the_images_never_opened_again(scenes, tmp_path):
    copies = tmp_path / "scenes"
    write_scenes(copies, train=8, val=3, held_out=1, size=32)
    options = tiny_options(copies, tmp_path / "first")
    encoder = EncoderOptions(
        encoder="mobilenet_v2", weights="none", image_size=64, mirror=True, memory_size=8
    )
    # Random weights are part of what the cache is made for: the same seed makes the same.
    options = replace(
        options, encoder=encoder, shown_images=0,
        training=replace(options.training, epochs=1),
    )  # fmt: skip
    first = train(options)
    for path in copies.glob("*/*.png"):
        path.write_bytes(b"")  # still listed, no longer readable
        stamp = path.stat()
        assert stamp.st_size == 0
    assert first.metrics["tokens"] > 0
    caches = list((tmp_path / "cache").glob("*/features.npy"))
    assert len(caches) == 2  # training images, mirrored too, and validation images


@pytest.mark.parametrize("attention", [False, True])
def test_the_command_captions_files_and_folders(run, scenes, tmp_path, attention):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number, path in enumerate(pictures(scenes)[:3]):
        Image.open(path).convert("L" if number else "RGB").save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"not an image")
    sheet = tmp_path / "sheet.png"
    flags = ["--attention"] if attention else []
    done = command("caption", run, folder, "--json", "--n-best", 2, "--picture", sheet, *flags)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["image"]).name for line in lines] == ["0.png", "1.png", "2.png"]
    assert all(len(line["captions"]) == 2 for line in lines)
    assert "broken.jpg" in done.stderr
    assert Image.open(sheet).width > 100
    assert f"--picture: {sheet}" in done.stderr


@pytest.mark.parametrize("attention", [False, True])
def test_many_pictures_are_shown_on_pages(run, scenes, tmp_path, attention, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(60):
        shutil.copy(pictures(scenes)[number % 6], folder / f"{number}.png")
    sheet = tmp_path / "sheet.png"
    caption(CaptionOptions(
        run=run, images=(folder,), picture=sheet, attention=attention, device="cpu",
        search=SearchOptions(beam_size=1, max_length=6, search_precision="fp32"),
    ))  # fmt: skip
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 60
    files = sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(files) > 1 and files == [f"sheet-{n + 1}.png" for n in range(len(files))]
    assert all(max(Image.open(tmp_path / file).size) <= 4000 for file in files)
    assert "sheet-1.png" in told.err and files[-1] in told.err


def test_captions_are_printed_where_the_sheet_cannot_be_written(run, scenes, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(60):
        shutil.copy(pictures(scenes)[0], folder / f"{number}.png")
    (tmp_path / "sheet-1.png").mkdir()  # where the first page would be
    with pytest.raises(OSError, match="sheet-1.png"):
        caption(CaptionOptions(
            run=run, images=(folder,), picture=tmp_path / "sheet.png", device="cpu", batch_size=8,
            search=SearchOptions(beam_size=1, max_length=6, search_precision="fp32"),
        ))  # fmt: skip
    assert len(capsys.readouterr().out.splitlines()) == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--data", "nowhere", "--run-dir", "RUN"), "nowhere"),
        (("train", "--data", "SCENES", "--run-dir", "OLD"), "holds a run already"),
        (("train", "--data", "SCENES", "--run-dir", "NEW", "--encoder", "resnet1"), "resnet1"),
        (("train", "--data", "SCENES", "--run-dir", "NEW", "--coverage", 1), "--coverage"),
        (
            (
                "train",
                "--data",
                "SCENES",
                "--run-dir",
                "NEW",
                "--schedule",
                "plateau",
                "--warmup-steps",
                1,
            ),
            "has no warm-up",
        ),
        (("evaluate", "nowhere"), "nowhere"),
        (("evaluate", "OLD", "--split", "tset"), "tset"),
        (("caption", "OLD", "nowhere.jpg"), "nowhere.jpg"),
        (("caption", "OLD", "SCENES", "--n-best", "9"), "--n-best"),
        (("caption", "OLD", "SCENES", "--device", "warp"), "warp"),
        (("caption", "OLD", "SCENES", "--attention"), "add --picture"),
        (
            ("train", "--data", "SCENES", "--run-dir", "OLD", "--resume", "--overwrite"),
            "choose one",
        ),
        (
            ("train", "--data", "SCENES", "--run-dir", "NEW", "--word-embeddings", "no"),
            "no such file",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_errors_are_one_line_without_a_traceback(run, scenes, tmp_path, arguments, message):
    names = {"SCENES": scenes, "OLD": run, "NEW": tmp_path / "new", "RUN": tmp_path / "run"}
    done = run_here("captioning", *(names.get(each, each) for each in arguments))
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    *before, last = done.stderr.strip().splitlines()
    assert last.startswith("error: ") and not any(line.startswith("error") for line in before)


def test_names_and_words_of_others_are_shown_as_text(run, scenes, tmp_path):
    """A name that is not UTF-8, as an archive from elsewhere has, and what a terminal would obey."""
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    names = [os.fsdecode(b"h\xff.png"), "\x1b[2J\n.png"]
    paths = [shutil.copy(pictures(scenes)[0], tmp_path / name) for name in names]
    for token, ends in (("dog", 0), ("\x9b2J", 0), ("\udcff", 1)):
        replace_words(copy, "vocabulary.json", token)
        for more in ([], ["--json"], ["--picture", tmp_path / "sheet.png"]):
            done = run_here("captioning", "caption", copy, *paths, *more)
            assert done.returncode == ends and "Traceback" not in done.stderr
            done.stdout.encode()
            assert not set("\x1b\x9b") & set(done.stdout + done.stderr)
            lines = done.stdout.splitlines()
            assert len(lines) == (0 if ends else 2)
            if lines and more == ["--json"]:
                assert [json.loads(line)["image"] for line in lines] == [*map(str, paths)]
            elif lines:
                assert "h\\udcff.png" in lines[0] and "\\u001b[2J\\u000a.png" in lines[1]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_is_json_in_any_encoding(run, scenes, tmp_path, encoding, monkeypatch):
    path = shutil.copy(pictures(scenes)[0], tmp_path / "\U0001f600 나.png")
    file = io.BytesIO()
    with io.TextIOWrapper(file, encoding) as out:
        monkeypatch.setattr(sys, "stdout", out)
        caption(CaptionOptions(run=run, images=(Path(path),), json=True, device="cpu"))
        out.flush()
        assert json.loads(file.getvalue().decode(encoding))["image"] == str(path)


def test_only_scenes_can_be_checked_for_the_truth(run, scenes, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    rows = ["image,caption", *(f"{path.name},a thing" for path in pictures(scenes, "train"))]
    photographs = tmp_path / "photographs"
    shutil.copytree(scenes / "train", photographs / "Images")
    (photographs / "captions.txt").write_text("\n".join(rows))
    options = tiny_options(photographs, copy, monitor="true_captions", overwrite=True)
    with pytest.raises(UserError, match="true_captions is of generated scenes"):
        train(options)
    assert (copy / "model.safetensors").is_file()


def test_training_starts_from_pretrained_embeddings(scenes, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join([str(n)] * 16)}\n" for n, word in enumerate("a", 1)))
    options = tiny_options(scenes, tmp_path / "run", shown_images=0, word_embeddings=path)
    frozen = replace(options.training, epochs=1, learning_rate=0.0)
    train(replace(options, training=frozen))
    path.unlink()  # is no longer needed
    train(replace(options, training=replace(frozen, epochs=2), resume=True))
    captioner = Captioner.from_run(tmp_path / "run", device="cpu")
    (word,) = captioner.language.vocabulary.encode(["a"])
    assert (captioner.model.decoder.embedding.weight[word] == 1).all()


def test_damaged_runs_are_named(run, tmp_path):
    def damaged(name: str) -> Path:
        return Path(shutil.copytree(run, tmp_path / name))

    newer = damaged("newer")
    config = json.loads((newer / "config.json").read_text())
    (newer / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(UserError, match="newer version"):
        Captioner.from_run(newer, device="cpu")

    incomplete = damaged("incomplete")
    (incomplete / "vocabulary.json").unlink()
    with pytest.raises(UserError, match="incomplete"):
        Captioner.from_run(incomplete, device="cpu")

    other = damaged("other")
    config["config"]["decoder"]["hidden_size"] = 33
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="another architecture"):
        Captioner.from_run(other, device="cpu")

    unknown = damaged("unknown")
    config["config"]["decoder"]["warp"] = 9
    (unknown / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="warp"):
        Captioner.from_run(unknown, device="cpu")


@pytest.mark.parametrize(
    "part, name, value",
    [("decoder", "hidden_size", size) for size in (30_000, 2**31, 10**11, 10**30, 1e30, "32", None)]
    + [("decoder", "num_layers", 10**6), ("decoder", "num_layers", 100),
       ("encoder", "image_size", 10**9), ("encoder", "feature_size", 2**40),
       ("encoder", "encoder", "nowhere"), ("search", "max_length", -1),
       ("search", "beam_size", 10**11), ("search", "beam_patience", float("inf"))],
)  # fmt: skip
def test_options_of_a_stranger_cost_neither_memory_nor_time(run, tmp_path, part, name, value):
    """They are refused by their bounds, or because they do not fit the weights."""
    assert_refused_at_once(
        run,
        tmp_path / "run",
        (part, name, value),
        lambda run: Captioner.from_run(run, device="cpu"),
    )


def test_a_cache_is_where_the_command_line_says_and_nowhere_else(scenes, tmp_path, monkeypatch):
    """Not where a stranger's run says, and not in the folder that one happens to be in."""
    encoder = EncoderOptions(encoder="squeezenet1_1", weights="none", image_size=64, memory_size=8)
    options = tiny_options(scenes, tmp_path / "run", encoder=encoder, shown_images=0)
    options = replace(options, training=replace(options.training, epochs=1))
    train(options)
    path = tmp_path / "run" / "config.json"
    stored = json.loads(path.read_text())
    assert "cache_dir" not in stored["config"]
    stored["config"]["cache_dir"] = str(tmp_path / "stranger")
    path.write_text(json.dumps(stored))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    before = {each.name for each in tmp_path.iterdir()}
    evaluate_run(tmp_path / "run", device="cpu")
    assert {each.name for each in tmp_path.iterdir()} - before == {"user"}
    assert list((tmp_path / "user" / "unroll" / "features").glob("*/features.npy"))
    evaluate_run(tmp_path / "run", device="cpu", cache_dir=tmp_path / "named")
    assert list((tmp_path / "named").glob("*/features.npy"))


def test_what_is_asked_for_is_what_is_built():
    options = TrainOptions(
        data="d", run_dir=Path("r"), encoder=EncoderOptions(encoder="small"),
        decoder=DecoderOptions(
            embedding_size=8, hidden_size=8, tie_embeddings=True, attention="additive"
        ),
        loss=LossOptions(label_smoothing=0.2, coverage=0.5),
    )  # fmt: skip
    model = build_model(options, Vocabulary(["one", "two", "three"]), weights="none")
    assert (model.label_smoothing, model.coverage) == (0.2, 0.5)
    assert model.decoder.output.weight is model.decoder.embedding.weight
