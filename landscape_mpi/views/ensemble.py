"""The run of an ensemble: learning rate, test error and distance from the start by iteration.

For a problem, the test loss replaces the error.

Source: Garipov et al. 2018, arXiv:1802.10026, section 4; circles are the members.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from landscape_mpi.store.ensemble import LOSS_UNITS, EnsembleContent, Table
from landscape_mpi.views.canvas import TITLE_CHARACTER, legend_below, sheet, wrap

SIZE, NARROW = (6.6, 6.2), (3.35, 5.6)  # inches
ASIDE = 0.7  # inches of the figure beside the axes
HEIGHTS = (1.0, 2.0, 1.2)  # shares of the panels
NETWORK, TOGETHER, ALONE, AVERAGE, OTHERS = "0.35", "#0072b2", "#d55e00", "#009e73", "#cc79a7"
MEMBER: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 7.0,
    "markerfacecolor": "none",
    "markeredgewidth": 1.2,
}
# Levels across the panel of the error, by the name of their row.
LEVELS: dict[str, tuple[str, str, Any]] = {
    "one network": ("one network", ALONE, "--"),
    "SWA of its members": ("average of the members' weights", AVERAGE, "-."),
    "independent ensemble": ("ensemble of {} independent networks", OTHERS, ":"),
}
ONE_OTHER = "one independent network"
# The same for a problem, across the panel of the loss.
LOSS_LEVELS: dict[str, tuple[str, str, Any]] = {
    "one network": LEVELS["one network"],
    "SWA of its members": LEVELS["SWA of its members"],
    "mean independent": ("mean of {} independent networks", OTHERS, ":"),
}


def picture_of(path: Path, *, out_dir: Path | None, suffix: str) -> Path:
    """Return the path of the figure: in the folder of the run, or beside its file."""
    folder = path if path.is_dir() else path.parent
    stem = "ensemble" if path.is_dir() else path.stem
    if out_dir is not None:
        stem = f"ensemble_{folder.resolve().name}"
    return (out_dir or folder) / f"{stem}.{suffix}"


def draw_ensemble(content: EnsembleContent) -> Figure:
    """Draw the three panels, one above the other."""
    figure = Figure(figsize=sheet(SIZE, NARROW), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": HEIGHTS})
    trace = content.tables["trace"]
    measured, worth = measured_of(content)
    for axes, column in zip(panels, ("lr", measured, "distance"), strict=True):
        draw_trace(axes, trace, column)
    (draw_error if content.metrics is None else draw_loss)(panels[1], content)
    for axes, label in zip(panels, ("learning rate", worth, "distance"), strict=True):
        axes.set_ylabel(label)
        axes.set_xlim(trace["epoch"][0], trace["epoch"][-1] or 1.0)
        axes.margins(y=0.08)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    for axes in (panels[0], panels[2]):
        axes.set_ylim(bottom=0)
    room = figure.get_figwidth() - ASIDE
    panels[0].set_title(wrap(title_of(content), room, TITLE_CHARACTER))
    panels[2].set_xlabel("epochs since the start")
    panels[2].set_ylabel("distance from\nthe start")
    figure.align_ylabels(panels)
    handles, _ = panels[1].get_legend_handles_labels()
    legend_below(figure, handles, 2)
    return figure


def measured_of(content: EnsembleContent) -> tuple[str, str]:
    """Return the column that rates the networks, error or loss, and its label."""
    if content.metrics is None:
        return "test_error", "test error (%)"
    units = str(content.attributes[LOSS_UNITS])
    return "test_loss", "test loss" + f" ({units})" * (units != "1")


def draw_trace(axes: Axes, trace: Table, column: str) -> None:
    """Draw a quantity over the epochs, with circles at the members."""
    epochs, values, collected = trace["epoch"], trace[column], trace["collected"] == 1
    marker = "" if len(epochs) > 1 else "."
    label = "the network as it is trained"
    axes.plot(epochs, values, color=NETWORK, linewidth=1.2, marker=marker, label=label)
    if not collected.any():  # without a circle, an unclipped plot has no extent
        return
    axes.plot(
        epochs[collected],
        values[collected],
        color=NETWORK,
        label="members, collected where the rate is lowest",
        clip_on=False,
        zorder=6,
        **MEMBER,
    )


def draw_error(axes: Axes, content: EnsembleContent) -> None:
    """Draw the error of the first members together, and levels to compare it with."""
    if "member" not in content.tables or "comparison" not in content.tables:
        return  # the run has not ended yet
    member, table = content.tables["member"], content.tables["comparison"]
    axes.plot(
        member["epoch"],
        member["ensemble_test_error"],
        color=TOGETHER,
        linewidth=1.6,
        marker="s",
        markersize=4.0,
        label=f"ensemble of the members so far: {member['ensemble_test_error'][-1]:.2f} %",
        zorder=5,
    )
    for name, (words, color, dashes) in LEVELS.items():
        for row in np.flatnonzero(table["name"] == name):
            n = int(table["networks"][row])
            what = ONE_OTHER if (name, n) == ("independent ensemble", 1) else words.format(n)
            label = f"{what}: {table['test_error'][row]:.2f} %"
            level = float(table["test_error"][row])
            axes.axhline(level, color=color, linestyle=dashes, linewidth=1.3, label=label)


def draw_loss(axes: Axes, content: EnsembleContent) -> None:
    """Draw levels of losses to compare the members of a problem with."""
    if "comparison" not in content.tables:
        return  # the run has not ended yet
    table = content.tables["comparison"]
    n = len(content.tables["independent"]["test_loss"]) if "independent" in content.tables else 0
    for name, (words, color, dashes) in LOSS_LEVELS.items():
        for row in np.flatnonzero(table["name"] == name):
            level = float(table["test_loss"][row])
            what = ONE_OTHER if (name, n) == ("mean independent", 1) else words.format(n)
            label = f"{what}: {level:.4g}"
            axes.axhline(level, color=color, linestyle=dashes, linewidth=1.3, label=label)


def title_of(content: EnsembleContent) -> str:
    """Return model and data, the number of members, and the length of a cycle."""
    known = content.attributes
    n_members = int((content.tables["trace"]["collected"] == 1).sum())
    noun = "member" if n_members == 1 else "members"
    cycle = float(str(known["cycle_iterations"])) / float(str(known["iterations_per_epoch"]))
    return f"{known['model']}, {known['data']}: {n_members} {noun}, cycles of {cycle:.3g} epochs"
