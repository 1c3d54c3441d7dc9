"""Token ids on disk: what is written is read back, in any batch, and nothing else is opened."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch.utils.data import DataLoader

from common.data.batching import pad_sequences
from common.data.corpus import Corpus, write_corpus
from common.errors import UserError
from common.text.vocabulary import BOS, EOS, PAD

SENTENCES = [[5, 6, 7], [], [9], [4, 4, 4, 4, 4], [65535, 0]]


def corpus(folder: Path, sentences=SENTENCES, vocabulary_size: int = 1 << 16) -> Corpus:
    write_corpus(folder / "ids", iter(sentences), vocabulary_size)
    return Corpus(folder / "ids")


@pytest.mark.parametrize(
    ("vocabulary_size", "kind"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.int32)]
)
def test_what_is_written_is_read(tmp_path: Path, vocabulary_size: int, kind: type) -> None:
    read = corpus(tmp_path, vocabulary_size=vocabulary_size)
    assert len(read) == 5 and read.tokens == 11
    assert [each.tolist() for each in read] == SENTENCES
    assert read[-1].tolist() == SENTENCES[-1] and read[0].dtype == kind
    assert read.lengths.tolist() == [3, 0, 1, 5, 2]
    assert {n: c for n, c in enumerate(read.counts(vocabulary_size).tolist()) if c} == {
        0: 1, 4: 5, 5: 1, 6: 1, 7: 1, 9: 1, 65535: 1
    }  # fmt: skip
    with pytest.raises(IndexError):
        read[5]


@given(
    sentences=st.lists(st.lists(st.integers(4, 99), max_size=6), min_size=1, max_size=8),
    bos=st.sampled_from([None, BOS]),
    eos=st.sampled_from([None, EOS]),
    data=st.data(),
)
def test_a_gathered_batch_is_the_same_as_sentences_padded_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, sentences, bos, eos, data
) -> None:
    read = corpus(tmp_path_factory.mktemp("corpus"), sentences, 100)
    rows = data.draw(st.lists(st.integers(0, len(sentences) - 1), max_size=10))
    before, after = [[] if each is None else [each] for each in (bos, eos)]
    expected = pad_sequences([[*before, *sentences[row], *after] for row in rows], PAD)
    padded = read.padded(np.array(rows), bos=bos, eos=eos)
    assert padded.dtype == torch.int64 and padded.shape[0] == len(rows)
    if rows:  # a matrix without rows has no columns of its own
        assert torch.equal(padded, expected)


def test_another_padding_and_a_sentence_that_is_not_there(tmp_path: Path) -> None:
    read = corpus(tmp_path)
    assert read.padded([2, 4], pad=-1).tolist() == [[9, -1], [65535, 0]]
    with pytest.raises(IndexError):
        read.padded([5])


def test_a_corpus_of_nothing(tmp_path: Path) -> None:
    read = corpus(tmp_path, [])
    assert len(read) == read.tokens == 0 and list(read) == []
    assert read.padded([]).shape == (0, 0)
    assert corpus(tmp_path, [[], []]).padded([0, 1], eos=EOS).tolist() == [[EOS], [EOS]]


def test_a_copy_does_not_change_the_file(tmp_path: Path) -> None:
    read = corpus(tmp_path)
    read[0][:] = 0
    assert read[0].tolist() == SENTENCES[0]
    with pytest.raises(ValueError, match="read-only"):
        read.lengths[0] = 1


def test_another_process_gets_the_path_alone(tmp_path: Path) -> None:
    read = corpus(tmp_path, [[5] * 100_000])
    assert len(pickle.dumps(read)) < 500
    again = pickle.loads(pickle.dumps(read))
    assert again[0].tolist() == read[0].tolist()
    loader = DataLoader(corpus(tmp_path), batch_size=None, num_workers=1)  # type: ignore[arg-type]
    assert [each.tolist() for each in loader] == SENTENCES


@pytest.mark.parametrize("size", [1 << 16, 100_000])
@pytest.mark.parametrize("wrong", [-1, 100_000, 1 << 40])
def test_an_id_outside_of_the_vocabulary_is_refused(tmp_path: Path, size: int, wrong: int) -> None:
    corpus(tmp_path)
    with pytest.raises(ValueError, match=f"outside of a vocabulary of {size}"):
        corpus(tmp_path, [[4], [wrong]], size)
    assert [each.tolist() for each in Corpus(tmp_path / "ids")] == SENTENCES


def test_what_stops_while_it_is_written_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
) -> None:
    corpus(tmp_path)

    def broken():
        yield [1, 2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_corpus(tmp_path / "ids", broken(), 10)
    assert [each.tolist() for each in Corpus(tmp_path / "ids")] == SENTENCES
    assert {file.name for file in tmp_path.iterdir()} == {"ids.ids.npy", "ids.offsets.npy"}


@pytest.mark.parametrize("name", ["ids.ids.npy", "ids.offsets.npy"])
def test_a_file_that_is_cut_off_or_another_is_refused(tmp_path: Path, name: str) -> None:
    corpus(tmp_path)
    path = tmp_path / name
    data = path.read_bytes()
    for size in (0, 1, 127, 128, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(UserError, match="damaged.*Delete"):
            Corpus(tmp_path / "ids")
    np.save(path, np.arange(20))  # of another number of sentences
    with pytest.raises(UserError, match="damaged.*Delete"):
        Corpus(tmp_path / "ids")
    path.unlink()
    with pytest.raises(UserError, match=f"{name} does not exist"):
        Corpus(tmp_path / "ids")


def test_the_ids_are_a_plain_numpy_file(tmp_path: Path) -> None:
    corpus(tmp_path)
    assert np.load(tmp_path / "ids.ids.npy").tolist() == sum(SENTENCES, [])
    assert np.load(tmp_path / "ids.offsets.npy").tolist() == [0, 3, 3, 4, 9, 11]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_memory_does_not_grow_with_what_was_read(tmp_path: Path) -> None:
    count, length = 16_000, 2_000  # 61 MiB
    read = corpus(tmp_path, [list(range(length))] * count, length)
    before, most = mapped_mebibytes(), 0.0
    for start in range(0, count, 64):
        read.padded(range(start, start + 64))
        most = max(most, mapped_mebibytes())
    assert (tmp_path / "ids.ids.npy").stat().st_size > 60 << 20
    assert most - before < 16


def mapped_mebibytes() -> float:
    """How much memory of this process belongs to files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssFile"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no RssFile")


@pytest.mark.filterwarnings("ignore:Data type alias")
@pytest.mark.parametrize("name", ["ids.ids.npy", "ids.offsets.npy"])
def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path, name: str) -> None:
    corpus(tmp_path)
    path = tmp_path / name
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(UserError, match=rf"\A{path}: damaged[^\n]*Delete[^\n]*\Z"):
            Corpus(tmp_path / "ids")


def test_files_without_a_checksum_are_read_and_their_ids_looked_at(tmp_path: Path) -> None:
    """Those of earlier versions."""
    corpus(tmp_path)
    for name in ("ids.ids.npy", "ids.offsets.npy"):
        np.save(tmp_path / name, np.load(tmp_path / name))
    assert [each.tolist() for each in Corpus(tmp_path / "ids", 65536)] == SENTENCES
    with pytest.raises(UserError, match="ids.ids.npy: damaged.*outside of the vocabulary"):
        Corpus(tmp_path / "ids", 65535)
    np.save(tmp_path / "ids.offsets.npy", np.array([0, 9, 3, 4, 9, 11]))
    with pytest.raises(UserError, match="ids.offsets.npy: damaged"):
        Corpus(tmp_path / "ids")


@pytest.mark.parametrize("kind", ["f4", "i1", "c8", "S2", "O"])
def test_arrays_of_other_types_are_refused(tmp_path: Path, kind: str) -> None:
    corpus(tmp_path)
    values = np.load(tmp_path / "ids.ids.npy").astype(kind)
    np.save(tmp_path / "ids.ids.npy", values, allow_pickle=True)
    with pytest.raises(UserError, match="ids.ids.npy: damaged"):
        Corpus(tmp_path / "ids")
