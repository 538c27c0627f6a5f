"""Oracle: the order in which a person would put the files, written down by hand."""

import math
from pathlib import Path

import pytest
import torch

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.training_order import order_run
from landscape_mpi.zoo.training_place import place_of
from landscape_mpi.zoo.training_run import TrainingRun


def ordered(files, *, given=False, same=()):
    """Order files of these names that record these things; some hold the same weights."""
    places = {Path(name): place_of(Path(name), notes) for name, notes in files.items()}

    def alike(first, second):
        return {first.name, second.name} in [set(pair) for pair in same]

    return order_run(TrainingRun("run", tuple(places), given), places, alike)


def names_of(found):
    return [file.name for file in found.run.files]


NAMED = {
    "the epochs in their names": [
        ["epoch=02-val_loss=0.8.pth", "epoch=03-val_loss=0.5.pth", "epoch=10-val_loss=0.7.pth"],
        ["acc93_ep2.pt", "acc91_ep10.pt"],
        ["net_e9.pth.tar", "net_e10.pth.tar"],
        ["Epoch-9_1200.ckpt", "Epoch-10_3.ckpt"],
        ["epoch_0.5.pt", "epoch_1.5.pt"],
    ],
    "the steps in their names": [
        ["step_90.pt", "step_100.pt"],
        ["global_step90_loss_2.1.pt", "global_step100_loss_2.0.pt"],
        ["iter_9-acc=93.pth", "iter_10-acc=91.pth"],
    ],
    "the last numbers in their names": [
        ["model2_9.th", "model2_10.th", "model2_100.th"],
        ["ckpt_9_acc_93.17.pt", "ckpt_10_acc_91.02.pt"],
        ["9-4800.ckpt", "10-5300.ckpt"],
        ["power_9.pt", "power_10.pt"],
    ],
}


@pytest.mark.parametrize(("words", "names"), [(w, n) for w, all_n in NAMED.items() for n in all_n])
def test_the_order_of_names(words, names):
    found = ordered({name: {} for name in reversed(names)})
    assert (names_of(found), found.words, found.said) == (names, words, ())


def test_recorded_epochs_count_first():
    files = {"model_1.pt": {"epoch": 7}, "model_2.pt": {"epoch": torch.tensor(3)}}
    found = ordered(files | {"final.pt": {"extra_state": {"train_iterator": {"epoch": 9}}}})
    assert names_of(found) == ["model_2.pt", "model_1.pt", "final.pt"]
    assert found.words == "the epochs recorded in them"


def test_steps_tell_apart_what_one_epoch_has():
    files = {f"{n}.pt": {"epoch": n // 2, "global_step": 100 * n} for n in (3, 2, 1, 0)}
    assert names_of(ordered(files)) == ["0.pt", "1.pt", "2.pt", "3.pt"]


def test_a_second_number_tells_apart_what_one_epoch_has():
    names = [f"epoch_{epoch}_batch_{batch}.pt" for epoch in (0, 1) for batch in (90, 100)]
    found = ordered({name: {} for name in sorted(names)})
    assert (names_of(found), found.said) == (names, ())


def test_an_epoch_that_is_the_same_in_all_is_no_order():
    files = {"step_100.pt": {"epoch": 300}, "step_90.pt": {"epoch": 300}}
    found = ordered(files)
    assert (names_of(found), found.words) == (
        ["step_90.pt", "step_100.pt"],
        "the steps in their names",
    )


def test_best_and_last_are_placed_by_their_record_or_left_out():
    files = {f"checkpoint_{n}.pth": {"epoch": n} for n in range(10)}
    files |= {"best.pth": {"epoch": 4}, "last.pth": {"epoch": 9}, "swa.pth": {"epoch": 7}}
    found = ordered(
        files, same=[("best.pth", "checkpoint_4.pth"), ("last.pth", "checkpoint_9.pth")]
    )
    expected = [f"checkpoint_{n}.pth" for n in range(8)] + ["swa.pth"]
    assert names_of(found) == [*expected, "checkpoint_8.pth", "checkpoint_9.pth"]
    assert found.said == (
        "best.pth is left out: it holds the weights of checkpoint_4.pth",
        "swa.pth has the same place as checkpoint_7.pth but other weights, and is put after it",
        "last.pth is left out: it holds the weights of checkpoint_9.pth",
    )


def test_a_file_without_a_place_is_left_out_and_named():
    files = {"epoch_1.pt": {}, "epoch_2.pt": {}, "best.pt": {}, "last.pt": {}}
    found = ordered(files, same=[("last.pt", "epoch_2.pt")])
    assert names_of(found) == ["epoch_1.pt", "epoch_2.pt"]
    assert found.said[0].startswith(
        "best.pt is left out: neither a record in it nor its name gives"
    )
    assert found.said[1] == "last.pt is left out: it holds the weights of epoch_2.pt"


def test_a_second_series_of_averages_is_left_out_and_named():
    files = {f"{name}.pt": {} for n in range(3) for name in (f"epoch_{n}", f"epoch_{n}_ema")}
    found = ordered(files)
    assert names_of(found) == ["epoch_0.pt", "epoch_1.pt", "epoch_2.pt"]
    (said,) = found.said
    assert said.startswith("epoch_0_ema.pt, epoch_1_ema.pt, epoch_2_ema.pt are left out: by their")


def test_two_trainings_in_one_folder_are_refused():
    with pytest.raises(InputError) as caught:
        ordered({f"{name}_epoch_{n}.pt": {} for n in range(3) for name in "ab"})
    assert str(caught.value) == (
        "run: at 3 places in the training there are two checkpoints with different weights, e.g. "
        "a_epoch_0.pt and b_epoch_0.pt. Give each training run its own folder, or name the files "
        "of one training run one by one."
    )


REFUSED = {
    "the order in which its 2 checkpoints were written is not": ["a.pt", "b.pt"],
    "does not say where model_7.pt belong": ["epoch_1.pt", "epoch_2.pt", "model_7.pt"],
    "hold several numbers (run1_10.pt, run2_5.pt), and the order depends on which": [
        "run1_10.pt",
        "run2_5.pt",
    ],
}


@pytest.mark.parametrize("words", REFUSED)
def test_an_order_that_is_not_known_is_refused(words):
    with pytest.raises(InputError) as caught:
        ordered({name: {} for name in REFUSED[words]})
    assert words in str(caught.value)
    assert "Name the files one by one, in the order of training" in str(caught.value)


def test_one_checkpoint_needs_no_order():
    assert names_of(ordered({"a.pt": {}})) == ["a.pt"]


def test_files_named_one_by_one_stay_and_a_contradiction_is_said():
    names = ["epoch_1.pt", "epoch_10.pt", "epoch_2.pt"]
    found = ordered({name: {} for name in names}, given=True)
    assert names_of(found) == names
    (said,) = found.said
    assert said.startswith("warning: in the order given, the epochs in their names fall from 10 (")
    assert ordered({"b.pt": {}, "a.pt": {}}, given=True).said == ()


LOSSES = (0.1, 0.2, 0.4, 0.7, 1.1)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("val_loss", {f"{n}.pt": {"val_loss": loss} for n, loss in enumerate(LOSSES)}),
        ("loss", {f"{n}_loss_{loss:.2f}.pt": {} for n, loss in enumerate(LOSSES)}),
    ],
)
def test_losses_that_rise_are_said(name, files):
    (said,) = ordered(files).said
    assert said.startswith(
        f"warning: {name}, as the checkpoints record it, rises in this order, from"
    )
    assert "from 0.1 to 1.1." in said
    assert ordered({f"{n}.pt": {"val_loss": -n} for n in range(5)}).said == ()


def test_the_trainer_of_transformers_records_epochs_and_losses(tmp_path):
    folder = tmp_path / "checkpoint-500"
    folder.mkdir()
    history = [{"loss": 2.0, "step": 100}, {"loss": 1.5, "step": 500}, {"eval_loss": 1.7}]
    place = place_of(folder, {"epoch": 1.25, "global_step": 500, "log_history": history})
    assert (place.epoch, place.step) == (1.25, 500)
    assert place.losses == {"loss": 1.5, "eval_loss": 1.7}
    assert place_of(folder, {}).named_step == 500


@pytest.mark.parametrize(
    ("name", "epoch"),
    [("epoch_3.pt", 3), ("w_7.pt", 7), ("step_7.pt", math.nan), ("best.pt", math.nan)],
)
def test_the_epoch_of_a_name(name, epoch):
    assert place_of(Path(name), {}).epoch == pytest.approx(epoch, nan_ok=True)
