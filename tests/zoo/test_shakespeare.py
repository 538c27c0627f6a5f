"""Oracles: a text cut by hand with Python's strings, a real HTTP server on this machine, the plays
where they are there, and the sentences.
"""

import hashlib

import numpy as np
import pytest

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.shakespeare import load_shakespeare

TEXT = "To be, or not to be: that is the question. Señor?\n" * 2


def load(folder, length=4, **settings):
    return load_shakespeare(folder, length=length, download=False, **settings)


def assert_cut(splits, text, length):
    symbols = sorted(set(text))
    border = len(text) * 9 // 10
    for name, part in (("train", text[:border]), ("test", text[border:])):
        starts = range(0, (len(part) - 1) // length * length, length)
        for values, shift in ((splits[name].inputs, 0), (splits[name].targets, 1)):
            assert values.dtype == np.int64
            got = ["".join(symbols[i] for i in row) for row in values]
            assert got == [part[s + shift : s + shift + length] for s in starts]


@pytest.mark.parametrize("length", [1, 4, 9])
@pytest.mark.parametrize("name", ["tinyshakespeare.txt", "tinyshakespeare/input.txt", "input.txt"])
def test_sequences_follow_each_other_and_targets_are_one_ahead(tmp_path, name, length):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(TEXT, encoding="utf-8")
    splits, n_symbols = load(tmp_path, length)
    assert n_symbols == len(set(TEXT))
    assert_cut(splits, TEXT, length)


def test_the_plays(data_dir):
    for spec, length in (("shakespeare", 30), ("shakespeare:45", 45)):
        data = load_dataset(spec, data_dir=data_dir)
        assert (data.sample.shape, data.n_classes) == ((length,), 65)
        n_train = 1_115_394 * 9 // 10
        assert data.splits["train"].inputs.shape == ((n_train - 1) // length, length)
        assert data.splits["test"].targets.shape == ((1_115_394 - n_train - 1) // length, length)
    places = (data_dir / "tinyshakespeare.txt", data_dir / "tinyshakespeare/input.txt")
    text = next(place for place in places if place.exists()).read_text()
    assert_cut(data.splits, text, 45)


def test_it_is_fetched_checked_and_read(tmp_path, publisher):
    publisher.files["/input.txt"] = TEXT.encode()
    settings = {"length": 4, "download": True, "url": f"{publisher.url}/input.txt"}
    known_hash = f"sha256:{hashlib.sha256(TEXT.encode()).hexdigest()}"
    assert_cut(load_shakespeare(tmp_path, known_hash=known_hash, **settings)[0], TEXT, 4)
    assert_cut(load(tmp_path)[0], TEXT, 4)
    with pytest.raises(InputError, match="does not match the known hash"):
        load_shakespeare(tmp_path / "new", known_hash="sha256:0", **settings)


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(MissingInputError, match="^--data shakespeare: needs --data-dir"):
        load_dataset("shakespeare")
    with pytest.raises(MissingInputError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"--data shakespeare: {tmp_path} has none of tinyshakespeare.txt, "
        "tinyshakespeare/input.txt, input.txt. Pass --download to fetch it there (1 MB), or "
        "--data-dir with the folder that has it."
    )
    path = tmp_path / "input.txt"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(tmp_path, 10)
    assert str(caught.value) == (
        f"--data shakespeare:10: a split of {path} has 10 characters, but a sequence needs 11. "
        "Choose a smaller length."
    )
    path.write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(InputError, match="input.txt: cannot be read: 'utf-8' codec can't decode"):
        load(tmp_path)
