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


def test_a_folder_s_checkpoints_are_found_and_nothing_else(tmp_path):
    others = (
        "notes.txt",
        "optimizer.pt",
        "rng_state.pth",
        "a_1.optim.pt",
        "resume.pt",
        "model-00001-of-00002.safetensors",
    )
    names = ("a_1.ckpt", "a_2.pth.tar", "a_3.safetensors", "a_4.th")
    (run,) = find_runs([make(tmp_path / "sgd", *names, *others, ".hidden.pt")])
    assert (run.name, run.given) == ("sgd", False)
    assert names_of(run) == list(names)


def test_folders_that_are_checkpoints_are_found_in_a_folder_and_named_alone(tmp_path):
    output = make(tmp_path / "output", "model.safetensors", "trainer_state.json")
    inner = [
        make(output / f"checkpoint-{n}", "model.safetensors", "optimizer.pt") for n in (500, 1000)
    ]
    (run,) = find_runs([output])
    assert names_of(run) == ["checkpoint-1000", "checkpoint-500", "model.safetensors"]
    (run,) = find_runs(inner)
    assert (run.files, run.given) == (tuple(inner), True)


def test_a_folder_of_folders_says_which_holds_checkpoints(tmp_path):
    make(tmp_path / "version_0", "hparams.yaml")
    make(tmp_path / "version_0" / "checkpoints", "epoch=0.ckpt", "epoch=1.ckpt")
    with pytest.raises(InputError, match=r"version_0/checkpoints holds 2: name that folder."):
        find_runs([tmp_path / "version_0"])


def test_a_run_of_ours_has_no_other_files(tmp_path):
    folder = make(tmp_path / "run", "epoch_0001.pt", "epoch_0000.pt", "resume.pt", "best.pt")
    assert names_of(find_runs([folder])[0]) == ["epoch_0000.pt", "epoch_0001.pt"]


def test_files_that_are_named_are_one_run_in_the_order_given(tmp_path):
    folder = make(tmp_path / "run", "b.pt", "a.pt")
    (run,) = find_runs([folder / "b.pt", folder / "a.pt"])
    assert (run.name, names_of(run), run.given) == ("run", ["b.pt", "a.pt"], True)


def test_runs_of_one_name_are_told_apart(tmp_path):
    make(tmp_path / "x"), make(tmp_path / "y")
    folders = [make(tmp_path / where / "run", "a.pt") for where in "xy"]
    assert [run.name for run in find_runs(folders)] == ["x/run", "y/run"]
    again = find_runs([folders[0], folders[0], folders[1]])
    assert [run.name for run in again] == ["x/run (1)", "x/run (2)", "y/run"]


def test_a_run_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="does not exist. Name a folder of checkpoints"):
        find_runs([tmp_path / "none"])


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint .* but notes.txt. Name the folder"):
        find_runs([make(tmp_path / "run", "notes.txt")])
