"""The weights of trainings: their norm over the epochs, and their histogram at the end.

Source: Li et al. 2018, arXiv:1712.09913, figure 2 (b, c, e, f).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from landscape_mpi.errors import InputError
from landscape_mpi.short_names import name_in_file, short_names
from landscape_mpi.store.weights import WeightsFile
from landscape_mpi.views.canvas import legend_below, plain, sheet
from landscape_mpi.views.curve_colors import MOST, look_of
from landscape_mpi.views.page import current_page

SIZE, NARROW = (8.6, 3.5), (3.35, 4.6)  # inches
RING: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 6.0,
    "markerfacecolor": "white",
}
N_NAMED = 4  # largest number of runs in the name of a file
N_COLUMNS = 4  # columns of the legend
MARKED_UP_TO = 12  # epochs: the markers of more would merge into a band
SHARE_SHOWN = 0.99  # share of the weights, for the run with the widest weights


def check_number(runs: Sequence[WeightsFile]) -> None:
    """Check that there are enough looks for the runs.

    Raises:
        InputError: If there are too many.
    """
    if len(runs) > MOST:
        raise InputError(
            f"--weights: {len(runs)} runs, but at most {MOST} can be distinguished in one figure. "
            "Draw fewer at once."
        )


def picture_of(runs: Sequence[WeightsFile], *, out_dir: Path | None, suffix: str) -> Path:
    """Return the file of the figure: in the folder of one run, or beside those of several."""
    folder = runs[0].path.parent
    if len(runs) == 1:
        return (out_dir or folder) / f"weights.{suffix}"
    names = [name_in_file(label) for label in labels_of(runs)]
    more = [f"and_{len(names) - N_NAMED}_more"] if len(names) > N_NAMED else []
    name = "_".join(["weights", *names[:N_NAMED], *more])
    return (out_dir or folder.resolve().parent) / f"{name[:200]}.{suffix}"


def draw_weights(runs: Sequence[WeightsFile]) -> Figure:
    """Draw the weight norms of runs over their epochs, and the histograms of their last weights."""
    figure = Figure(figsize=sheet(SIZE, NARROW), layout="constrained")
    norms, histogram = figure.subplots(*((2, 1) if current_page().is_narrow else (1, 2)))
    reach = 1.1 * max(map(_reach, runs))
    for k, (run, label) in enumerate(zip(runs, labels_of(runs), strict=True)):
        look = look_of(k)
        _draw_norm(norms, run, look | {"label": plain(label)})
        _draw_histogram(histogram, run, look, reach=reach)
    _frame(norms, histogram, runs)
    histogram.set_xlim(-reach, reach)
    handles, _ = norms.get_legend_handles_labels()
    if any(len(drops_of(run)) for run in runs):
        handles.append(Line2D([], [], color="0.3", label="learning rate drops", **RING))
    legend_below(figure, handles, N_COLUMNS)
    return figure


def labels_of(runs: Sequence[WeightsFile]) -> list[str]:
    """Return a name for each run: that of its folder, longer if two are the same."""
    return short_names([Path(run.path).resolve().parent for run in runs], endings=True)


def _draw_norm(axes: Axes, run: WeightsFile, look: dict[str, Any]) -> None:
    epochs, norms = run.history.epoch, run.history.weight_norm
    marker = "o" if len(epochs) <= MARKED_UP_TO else ""
    axes.plot(epochs, norms, linewidth=1.5, marker=marker, markersize=3.0, **look)
    dropped = drops_of(run)
    axes.plot(epochs[dropped], norms[dropped], color=look["color"], zorder=3, **RING)


def drops_of(run: WeightsFile) -> np.ndarray:
    """Return the rows after which the learning rate is lower, int64 [n_drops]."""
    return np.flatnonzero(run.history.lr[1:] < run.history.lr[:-1])


def density_of(run: WeightsFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of the bins and the density of the last weights in them.

    Returns:
        Edges, float64 [n_bins + 1], and density, float64 [n_bins]: its integral and the share of
        weights outside the bins sum to 1.
    """
    edges, counts = run.history.histogram_edges[-1], run.history.histogram[-1]
    n = max(1, counts.sum() + run.history.n_outside[-1].sum())
    return edges, counts / (n * np.diff(edges))


def coarse(edges: np.ndarray, density: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Merge every n bins of a histogram, with n odd so that one bin is around zero."""
    first = (len(density) // 2 - n // 2) % n
    starts = np.unique([0, *range(first, len(density), n)])
    new = np.append(edges[starts], edges[-1])
    return new, np.add.reduceat(density * np.diff(edges), starts) / np.diff(new)


def _draw_histogram(axes: Axes, run: WeightsFile, look: dict[str, Any], *, reach: float) -> None:
    edges, density = density_of(run)
    n_weights = max(1, int(run.history.histogram[-1].sum()))
    # Few weights in narrow bins would show chance, not shape.
    wanted = 2 * reach / float(np.clip(2 * n_weights ** (1 / 3), 30, 200))
    edges, density = coarse(edges, density, 2 * round((wanted / (edges[1] - edges[0]) - 1) / 2) + 1)
    axes.stairs(density, edges, linewidth=1.2, color=look["color"], linestyle=look["linestyle"])
    axes.stairs(density, edges, fill=True, alpha=0.12, color=look["color"])


def _reach(run: WeightsFile) -> float:
    """Return the largest distance from zero of most of the last weights."""
    edges, density = density_of(run)
    share = density * np.diff(edges)
    centers = np.abs(edges[:-1] + edges[1:]) / 2
    order = np.argsort(centers)
    most = np.searchsorted(np.cumsum(share[order]), SHARE_SHOWN * share.sum())
    return float(centers[order[min(most, len(order) - 1)]])


def _frame(norms: Axes, histogram: Axes, runs: Sequence[WeightsFile]) -> None:
    norms.set_title("norm of the weights in training")
    norms.set_xlabel("epoch")
    norms.set_ylabel("L2 norm of all weights")
    norms.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    all_norms = np.concatenate([run.history.weight_norm for run in runs])
    norms.set_ylim(0, 1.1 * float(all_norms[np.isfinite(all_norms)].max(initial=0.0)) or 1.0)
    norms.margins(x=0.02)
    if all(len(run.history.epoch) == 1 for run in runs):
        norms.set_xlim(-0.5, 0.5)  # before training, when there is only one epoch
    last = {int(run.history.epoch[-1]) for run in runs}
    when = f"after epoch {last.pop()}" if len(last) == 1 else "after the last epoch"
    histogram.set_title(f"weights {when}")
    histogram.set_xlabel("weight")
    histogram.set_ylabel("density")
    histogram.set_ylim(bottom=0)
    for axes in (norms, histogram):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
