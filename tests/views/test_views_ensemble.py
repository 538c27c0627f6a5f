"""Oracle: what the lines of the figure hold, against the file that they were drawn from; the files
on disk, and the sentences.
"""

import h5py
import numpy as np
import pytest

from landscape_mpi import plot
from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.store.ensemble import (
    OF_CLASSES,
    EnsembleContent,
    read_ensemble,
    write_ensemble,
)
from landscape_mpi.views.ensemble import draw_ensemble

KNOWN = {
    "model": "net",
    "data": "digits",
    "cycle_iterations": 24,
    "iterations_per_epoch": 12,
    "seed": 1,
}


def content(*, finished=True):
    epochs = np.arange(0, 8.5, 0.5)
    trace = {
        "iteration": (12 * epochs).astype(np.int64),
        "epoch": epochs,
        "lr": 0.05 * np.abs(1 - epochs % 2) + 0.0005,
        "test_loss": np.full(17, 0.1),
        "test_error": 5 + np.cos(np.pi * epochs),
        "distance": np.sqrt(epochs),
        "collected": (epochs % 2 == 1).astype(np.int64),
    }
    member = {
        "iteration": np.array([12, 36, 60, 84]),
        "epoch": np.array([1.0, 3.0, 5.0, 7.0]),
        "test_loss": np.full(4, 0.1),
        "test_error": np.full(4, 4.0),
        "ensemble_test_loss": np.full(4, 0.09),
        "ensemble_test_error": np.array([4.0, 3.75, 3.5, 3.25]),
    }
    comparison = {
        "name": np.array(["one network", "FGE ensemble", "independent ensemble"]),
        "networks": np.array([1, 4, 3]),
        "epochs": np.array([20, 20, np.nan]),
        "test_loss": np.array([0.2, 0.1, 0.1]),
        "test_error": np.array([4.5, 3.25, 3.0]),
    }
    tables = {"trace": trace}
    if finished:
        tables |= {"member": member, "comparison": comparison}
    return EnsembleContent(tables, KNOWN)


def test_a_file_that_lacks_its_trace_is_refused(tmp_path):
    write_ensemble(tmp_path / "ensemble.h5", content())
    with h5py.File(tmp_path / "ensemble.h5", "r+") as file:
        del file["trace"]
    with pytest.raises(InputError, match="ensemble.h5: has no table trace"):
        plot.main(["--ensemble", str(tmp_path)])


def test_the_file_gives_back_what_it_was_given(tmp_path):
    given = content()
    write_ensemble(tmp_path / "ensemble.h5", given)
    found = read_ensemble(tmp_path)
    assert list(found.tables) == list(given.tables)
    for name, table in given.tables.items():
        for column, values in table.items():
            np.testing.assert_array_equal(found.tables[name][column], values)
    assert found.attributes.items() >= KNOWN.items()


def losses_alone():
    given = content()
    known = KNOWN | {"problem": "mine:problem", "loss_units": "m"}
    tables = {
        name: {column: v for column, v in table.items() if column not in OF_CLASSES}
        for name, table in given.tables.items()
    }
    tables["comparison"]["name"] = np.array(["one network", "last FGE member", "mean independent"])
    tables["independent"] = {"test_loss": np.full(1, 0.1)}
    return EnsembleContent(tables, known)


def test_a_file_of_a_problem_gives_back_its_losses(tmp_path):
    given = losses_alone()
    write_ensemble(tmp_path / "ensemble.h5", given)
    found = read_ensemble(tmp_path)
    assert found.metrics == ()
    for name, table in given.tables.items():
        assert found.tables[name].keys() == table.keys()
        for column, values in table.items():
            np.testing.assert_array_equal(found.tables[name][column], values)
    figure = draw_ensemble(found)
    loss = figure.axes[1]
    assert loss.get_ylabel() == "test loss (m)"
    assert [line.get_ydata()[0] for line in loss.lines[2:]] == [0.2, 0.1]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[2:] == ["one network: 0.2", "one independent network: 0.1"]


def test_lines_hold_what_the_file_holds():
    given = content()
    trace = given.tables["trace"]
    figure = draw_ensemble(given)
    rate, error, distance = figure.axes
    for axes, column in ((rate, "lr"), (error, "test_error"), (distance, "distance")):
        line, circles = axes.lines[:2]
        np.testing.assert_array_equal(line.get_xdata(), trace["epoch"])
        np.testing.assert_array_equal(line.get_ydata(), trace[column])
        np.testing.assert_array_equal(circles.get_xdata(), [1, 3, 5, 7])
    together, single, others = error.lines[2:]
    assert together.get_ydata().tolist() == [4.0, 3.75, 3.5, 3.25]
    assert [line.get_ydata()[0] for line in (single, others)] == [4.5, 3.0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "the network as it is trained",
        "members, collected where the rate is lowest",
        "ensemble of the members so far: 3.25 %",
        "one network: 4.50 %",
        "ensemble of 3 independent networks: 3.00 %",
    ]
    assert rate.get_title() == "net, digits: 4 members, cycles of 2 epochs"
    assert distance.get_xlabel() == "epochs since the start"


def test_one_network_beside_the_ensemble_is_no_ensemble():
    given = content()
    given.tables["comparison"]["networks"][2] = 1
    texts = [text.get_text() for text in draw_ensemble(given).legends[0].get_texts()]
    assert texts[-1] == "one independent network: 3.00 %"


def test_a_run_that_goes_on_is_drawn_as_far_as_it_is():
    assert [len(axes.lines) for axes in draw_ensemble(content(finished=False)).axes] == [2, 2, 2]


def test_the_command_writes_a_figure_for_each_run(tmp_path, capsys):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_ensemble(tmp_path / name / "ensemble.h5", content())
    folders = [str(tmp_path / name) for name in ("one", "two")]
    assert plot.main(["--ensemble", *folders, "--dpi=30"]) == 0
    out = tmp_path / "out"
    assert plot.main(["--ensemble", *folders, "--format=pdf", f"--out-dir={out}"]) == 0
    files = [tmp_path / "one/ensemble.png", tmp_path / "two/ensemble.png"]
    files += [out / "ensemble_one.pdf", out / "ensemble_two.pdf"]
    assert capsys.readouterr().out.split() == [str(path) for path in files]
    assert all(path.stat().st_size > 1000 for path in files)


def test_two_runs_of_one_name_do_not_overwrite_each_other(tmp_path):
    folders = [tmp_path / name / "run" for name in ("one", "two")]
    for folder in folders:
        folder.mkdir(parents=True)
        write_ensemble(folder / "ensemble.h5", content())
    with pytest.raises(
        InputError, match=r"out/ensemble_run.png: two of the files have the same name"
    ):
        plot.main(["--ensemble", *map(str, folders), f"--out-dir={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(
        MissingInputError, match="--ensemble: .*gone: does not exist. Name the folder"
    ):
        plot.main(["--ensemble", str(tmp_path / "gone")])
    (tmp_path / "note.h5").write_text("a note")
    with pytest.raises(InputError, match="note.h5: is not an ensemble file, or is damaged"):
        plot.main(["--ensemble", str(tmp_path / "note.h5")])
    with pytest.raises(InputError, match="^--weights and --ensemble are both named"):
        plot.main(["--ensemble", "a", "--weights", "b"])
