"""Oracle: what the figure's lines and steps hold, against the weights files they were drawn from;
densities integrate to one; the files on disk, and the sentences.
"""

import numpy as np
import pytest

from landscape_mpi import plot
from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.store.weights import WeightHistory, read_weights, write_weights
from landscape_mpi.views.weights import coarse, density_of, draw_weights, labels_of

N_BINS = 401


def write_run(folder, *, n_epochs=6, scale=0.05, seed=0):
    """A run whose weights are normal and shrink, and whose learning rate drops after epoch 3."""
    random = np.random.default_rng(seed)
    rows = [random.normal(0, scale * 0.9**k, 5000) for k in range(n_epochs + 1)]
    edges = [6 * np.sqrt(np.mean(w**2)) * np.linspace(-1, 1, N_BINS + 1) for w in rows]
    counts = [np.histogram(w, e)[0] for w, e in zip(rows, edges, strict=True)]
    norms = np.array([np.linalg.norm(w) for w in rows])
    history = WeightHistory(
        epoch=np.arange(n_epochs + 1),
        lr=np.where(np.arange(n_epochs + 1) > 3, 0.01, 0.1),
        weight_norm=norms,
        total_norm=norms,
        parameter_norms=norms[:, None],
        histogram=np.array(counts),
        histogram_edges=np.array(edges),
        n_outside=np.zeros((n_epochs + 1, 2), np.int64),
    )
    folder.mkdir(parents=True)
    write_weights(folder / "weights.h5", history, ("w",), {"model": "net"})
    return folder


def test_lines_and_steps_hold_what_the_files_hold(tmp_path):
    folders = [write_run(tmp_path / "wd0"), write_run(tmp_path / "wd5e-4", scale=0.01, seed=1)]
    runs = [read_weights(folder) for folder in folders]
    figure = draw_weights(runs)
    norms, histogram = figure.axes
    lines = [line for line in norms.lines if line.get_linestyle() != "None"]
    rings = [line for line in norms.lines if line.get_linestyle() == "None"]
    for line, ring, run in zip(lines, rings, runs, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), run.history.epoch)
        np.testing.assert_array_equal(line.get_ydata(), run.history.weight_norm)
        assert ring.get_xdata().tolist() == [3]  # the last epoch before the drop
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["wd0", "wd5e-4", "learning rate drops"]
    assert norms.get_xlabel() == "epoch"
    assert histogram.get_title() == "weights after epoch 6"
    drawn = histogram.patches[0].get_data()
    assert np.sum(drawn.values * np.diff(drawn.edges)) == pytest.approx(1)
    low, high = histogram.get_xlim()
    assert 2 * 0.05 * 0.9**6 < high < 4 * 0.05 * 0.9**6
    assert low == -high


def test_densities_integrate_to_one(tmp_path):
    run = read_weights(write_run(tmp_path / "run"))
    edges, density = density_of(run)
    assert np.sum(density * np.diff(edges)) == pytest.approx(1)


@pytest.mark.parametrize("n", [1, 3, 5, 9, 401, 999])
def test_bins_in_one_have_their_weights(n):
    edges, density = np.linspace(-2, 2, 12), np.arange(11.0)
    new, merged = coarse(edges, density, n)
    assert np.sum(merged * np.diff(new)) == pytest.approx(np.sum(density * np.diff(edges)))
    assert new[[0, -1]].tolist() == [-2, 2]
    around_zero = np.searchsorted(new, 0)
    assert new[around_zero - 1] == pytest.approx(-new[around_zero])


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    runs = [read_weights(write_run(tmp_path / name / "run")) for name in ("a", "b")]
    assert labels_of(runs) == ["a/run", "b/run"]


def test_the_command_writes_one_figure(tmp_path, capsys):
    one, two = (str(write_run(tmp_path / name)) for name in ("one", "two"))
    assert plot.main(["--weights", one, "--dpi=30"]) == 0
    assert plot.main(["--weights", one + "/", two, "--dpi=30"]) == 0
    out = tmp_path / "out"
    assert plot.main(["--weights", one, two, "--format=pdf", f"--out-dir={out}"]) == 0
    files = [tmp_path / "one/weights.png", tmp_path / "weights_one_two.png"]
    files.append(out / "weights_one_two.pdf")
    assert capsys.readouterr().out.split() == [str(path) for path in files]
    assert [path.read_bytes()[:4] for path in files] == [b"\x89PNG"] * 2 + [b"%PDF"]


def test_many_runs(tmp_path):
    folders = [str(write_run(tmp_path / f"r{k}", n_epochs=1)) for k in range(6)]
    assert plot.main(["--weights", *folders, "--dpi=30"]) == 0
    assert (tmp_path / "weights_r0_r1_r2_r3_and_2_more.png").exists()
    with pytest.raises(InputError, match="--weights: 24 runs, but at most 21 can be distingui"):
        plot.main(["--weights", *folders * 4])


def test_what_cannot_be_drawn(tmp_path):
    run = str(write_run(tmp_path / "run"))
    with pytest.raises(InputError, match="^no file is named. Name surface files, or after --weigh"):
        plot.main([])
    with pytest.raises(InputError, match="^surfaces and --weights are both named. Name surface fi"):
        plot.main(["a.h5", "--weights", run])
    with pytest.raises(
        InputError, match="--watch applies to surfaces, not to --weights. Leave it o"
    ):
        plot.main(["--watch", "--weights", run])
    with pytest.raises(MissingInputError, match="gone/weights.h5|gone: does not exist"):
        plot.main(["--weights", str(tmp_path / "gone")])
