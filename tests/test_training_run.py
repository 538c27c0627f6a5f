"""Oracle: folders written by hand, and the order in which a person would number their files."""

import pytest

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.training_run import find_runs


def make(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def names_of(run):
    return [path.name for path in run.files]


def test_files_are_in_the_order_of_their_last_numbers(tmp_path):
    folder = make(tmp_path / "sgd", "model2_10.th", "model2_9.th", "model2_100.th", "notes.txt")
    (run,) = find_runs([folder])
    assert run.name == "sgd"
    assert names_of(run) == ["model2_9.th", "model2_10.th", "model2_100.th"]


def test_a_run_of_ours_has_no_other_files(tmp_path):
    folder = make(tmp_path / "run", "epoch_0001.pt", "epoch_0000.pt", "best.pt")
    assert names_of(find_runs([folder])[0]) == ["epoch_0000.pt", "epoch_0001.pt"]


def test_files_that_are_named_are_one_run_in_the_order_given(tmp_path):
    folder = make(tmp_path / "run", "b.pt", "a.pt")
    (run,) = find_runs([folder / "b.pt", folder / "a.pt"])
    assert (run.name, names_of(run)) == ("run", ["b.pt", "a.pt"])


def test_runs_of_one_name_are_told_apart(tmp_path):
    make(tmp_path / "x"), make(tmp_path / "y")
    folders = [make(tmp_path / where / "run", "a.pt") for where in "xy"]
    assert [run.name for run in find_runs(folders)] == ["x/run", "y/run"]
    again = find_runs([folders[0], folders[0], folders[1]])
    assert [run.name for run in again] == ["x/run (1)", "x/run (2)", "y/run"]


def test_a_run_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="no such run. Name a folder of checkpoints"):
        find_runs([tmp_path / "none"])


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint .* but notes.txt. Name the folder"):
        find_runs([make(tmp_path / "run", "notes.txt")])
