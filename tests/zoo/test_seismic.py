"""Oracles: a small table written here, encoded by hand; scikit-learn's encoders and the counts of
its publisher where the real table is there; a real HTTP server on this machine; the sentences.
"""

import hashlib

import numpy as np
import pytest
from refusals import refused
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.seismic import load_seismic

ROWS = [
    f"{'ab'[i % 2]},a,{'NW'[i % 3 == 0]},{100 * i},{i},-{i},7,{'abc'[i % 3]},"
    f"0,0,1,0,0,0,0,0,{i * i},0,{int(i % 4 == 0)}"
    for i in range(16)
]
NAMES = (
    "seismic,seismoacoustic,shift,genergy,gpuls,gdenergy,gdpuls,ghazard,nbumps,nbumps2,nbumps3,"
    "nbumps4,nbumps5,nbumps6,nbumps7,nbumps89,energy,maxenergy,class"
)
ARFF = "\n".join(
    [
        "% Title: seismic-bumps",
        "@relation seismic-bumps",
        *(f"@attribute {name} real" for name in NAMES.split(",")),
        "@data",
        "% rows",
        *ROWS,
        "",
    ]
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "seismic-bumps.csv"


def load(folder, seed=0, **settings):
    return load_seismic(folder, seed=seed, download=False, **settings)


def refusal(path, text):
    path.write_text(text)
    return refused(load, path.parent).removeprefix(f"{path}: ")


def assert_same(splits, others):
    for name in ("train", "test"):
        np.testing.assert_array_equal(splits[name].inputs, others[name].inputs)
        np.testing.assert_array_equal(splits[name].targets, others[name].targets)


def test_categories_become_columns_and_numbers_are_standardised(path):
    path.write_text("\n".join(ROWS))
    splits = load(path.parent)
    together = np.concatenate([splits["train"].inputs, splits["test"].inputs])
    assert together.dtype == np.float32
    assert together.shape == (16, 2 + 1 + 2 + 4 + 3 + 8 + 2)
    pulses = together[:, 6]  # told apart by them: i, scaled and shifted
    order = np.argsort(pulses)
    for column, expected in {
        0: [1, 0] * 8,  # seismic a
        1: [0, 1] * 8,
        2: [1] * 16,
        3: [0, 1, 1] * 5 + [0],  # shift N
        9: [1, 0, 0] * 5 + [1],  # ghazard a
        12: [0] * 16,  # nbumps: all the same
        14: [0] * 16,
    }.items():
        assert together[order, column].tolist() == expected
    np.testing.assert_allclose(splits["train"].inputs[:, [5, 6, 20]].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(splits["train"].inputs[:, [5, 6, 20]].std(0), 1, rtol=1e-6)
    np.testing.assert_allclose(together[:, 5], pulses, rtol=1e-6)
    np.testing.assert_allclose(np.diff(pulses[order]), pulses[order][1] - pulses[order][0], 1e-5)


def test_the_split_is_drawn_within_the_classes_by_the_seed(path):
    path.write_text("\n".join(ROWS))
    splits = load(path.parent)
    assert np.bincount(splits["train"].targets).tolist() == [9, 3]
    assert np.bincount(splits["test"].targets).tolist() == [3, 1]
    assert_same(splits, load(path.parent))
    others = [load(path.parent, seed)["test"].inputs.tobytes() for seed in range(6)]
    assert len(set(others)) > 1


@pytest.mark.parametrize("text", [ARFF, NAMES + "\n" + "\n".join(ROWS), "\r\n".join(ROWS)])
def test_arff_and_csv_with_and_without_names_are_the_same(path, text):
    path.write_text("\n".join(ROWS))
    splits = load(path.parent)
    path.unlink()
    (path.parent / "seismic_bumps.arff").write_text(text)
    assert_same(splits, load(path.parent))


def test_the_table_as_it_is_published(data_dir):
    data = load_dataset("seismic:3", data_dir=data_dir)
    train, test = data.splits["train"], data.splits["test"]
    assert np.bincount(train.targets).tolist() == [1810, 128]
    assert np.bincount(test.targets).tolist() == [2414 - 1810, 170 - 128]
    assert (data.sample.shape, data.n_classes) == ((24,), 2)
    errors = {"train": 100 * 128 / 1938, "test": 100 * 42 / 646}  # of never expecting a bump
    assert data.trivial_errors == pytest.approx(errors)
    rows = np.genfromtxt(next(data_dir.rglob("seismic_bumps.csv")), delimiter=",", dtype=str)
    is_category = np.isin(np.arange(18), (0, 1, 2, 7))
    encoder = OneHotEncoder(sparse_output=False)
    flags = encoder.fit_transform(rows[:, :18][:, is_category])
    got = np.concatenate([train.inputs, test.inputs])
    is_flag = np.isin(np.arange(24), (0, 1, 2, 3, 4, 5, 6, 11, 12, 13))
    assert sorted(map(tuple, got[:, is_flag])) == sorted(map(tuple, flags))
    scaler = StandardScaler().fit(train.inputs[:, ~is_flag].astype(float))
    np.testing.assert_allclose(scaler.mean_, 0, atol=1e-6)
    constant = (got[:, ~is_flag] == 0).all(axis=0)
    np.testing.assert_allclose(scaler.var_[~constant], 1, rtol=1e-5)
    assert constant.sum() == 3  # nbumps6, nbumps7 and nbumps89


def test_it_is_fetched_checked_and_read(tmp_path, publisher):
    publisher.files["/seismic-bumps.arff"] = ARFF.encode()
    settings = {"seed": 0, "download": True, "url": f"{publisher.url}/seismic-bumps.arff"}
    known_hash = f"sha256:{hashlib.sha256(ARFF.encode()).hexdigest()}"
    fetched = load_seismic(tmp_path, known_hash=known_hash, **settings)
    assert_same(fetched, load(tmp_path))
    with pytest.raises(InputError, match="does not match the known hash"):
        load_seismic(tmp_path / "new", known_hash="sha256:0", **settings)


def test_without_the_file_the_message_says_both_ways_out(tmp_path):
    with pytest.raises(MissingInputError, match="^--data seismic: needs --data-dir, the folder"):
        load_dataset("seismic")
    with pytest.raises(MissingInputError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"--data seismic: {tmp_path} has none of seismic-bumps.arff, seismic-bumps.csv, "
        "seismic_bumps.arff, seismic_bumps.csv. Pass --download to fetch it there (0.2 MB), or "
        "--data-dir with the folder that has it."
    )


def test_other_tables_are_refused(path):
    assert refusal(path, "\n".join([*ROWS, ROWS[0][2:]])).startswith(
        "line 17 has 18 entries, but must have 19: seismic, seismoacoustic, "
    )
    assert refusal(path, ARFF.replace(ROWS[3], ROWS[3] + ",1")).startswith("line 27 has 20 entries")
    assert refusal(path, "") == "has no rows. Fetch it again."
    assert (
        refusal(path, "\n".join(ROWS)[:-1] + "2")
        == "has the class '2', but the only classes are 0 and 1. Fetch the file again."
    )
    assert refusal(path, ROWS[0]) == "all rows are of class 1; both classes must be present."
    assert refusal(path, "\n".join(ROWS).replace("300,3,", "high,3,")) == (
        "genergy is not a number in one of the rows: could not convert string to float: 'high'. "
        "Fetch the file again."
    )
    assert refusal(path, "\n".join(ROWS).replace("300,3,", "nan,3,")) == (
        "genergy is not finite in one of the rows. Fetch the file again."
    )
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read: 'utf-8' codec can't decode"):
        load(path.parent)
