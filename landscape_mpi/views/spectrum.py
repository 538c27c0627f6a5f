"""The density of the Hessian's eigenvalues at a point, and the largest eigenvalues.

Source: Ghorbani et al. 2019, arXiv:1901.10159, figures 1 to 3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from landscape_mpi.store.spectrum import Spectrum
from landscape_mpi.views.canvas import legend_below, plain, sheet, wrap
from landscape_mpi.views.page import current_page

SIZE, NARROW = (6.4, 3.8), (3.35, 2.9)  # inches
DENSITY, LEADING, PLANE = "#0072b2", "#d55e00", "#009e73"
ASIDE = 0.8  # inches of the figure beside the axes
DECADES = 8  # decades of the density below its largest value
CURVATURES = {"alpha": "--", "beta": ":"}


def picture_of(path: Path, *, out_dir: Path | None, suffix: str) -> Path:
    """Return the file of the figure: beside the spectrum file, or in a folder."""
    return (out_dir or path.parent) / f"{path.stem}.{suffix}"


def draw_spectrum(spectrum: Spectrum) -> Figure:
    """Draw the density on a logarithmic scale, the largest eigenvalues as ticks."""
    known = spectrum.attributes
    figure = Figure(figsize=sheet(SIZE, NARROW), layout="constrained")
    axes = figure.subplots()
    highest = float(spectrum.density.max())
    floor = highest / 10**DECADES
    axes.fill_between(spectrum.place, spectrum.density.clip(floor), floor, color=DENSITY, alpha=0.2)
    axes.plot(spectrum.place, spectrum.density.clip(floor), color=DENSITY, linewidth=1.2)
    ticks: dict[str, Any] = {
        "color": LEADING,
        "linestyle": "none",
        "marker": "|",
        "markersize": 14.0,
    }
    n = len(spectrum.eigenvalue)
    label = f"the {n} largest eigenvalues" if n > 1 else "the largest eigenvalue"
    heights = [floor * 10**0.5] * n
    axes.plot(spectrum.eigenvalue, heights, markeredgewidth=1.6, label=label, **ticks)
    for axis, dashes in CURVATURES.items():
        if f"curvature_{axis}" in known:
            value = float(str(known[f"curvature_{axis}"]))
            label = f"curvature along {axis}: {value:.3g}"
            axes.axvline(value, color=PLANE, linestyle=dashes, linewidth=1.3, label=label)
    axes.set_yscale("log")
    axes.set_ylim(floor, 3 * highest)
    units = "" if spectrum.loss_units == "1" else spectrum.loss_units
    axes.set_xlabel("eigenvalue of the Hessian" + (plain(f" ({units})") if units else ""))
    axes.set_ylabel(f"share of all eigenvalues per {plain(units) or 'unit'}")
    room = figure.get_figwidth() - ASIDE
    axes.set_title(wrap(title_of(spectrum), room), fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    if current_page().is_narrow:  # the density leaves no room for it inside the axes
        legend_below(figure, axes.get_legend_handles_labels()[0], 1)
    else:
        axes.legend(frameon=False, loc="upper right")
    return figure


def title_of(spectrum: Spectrum) -> str:
    """Return the surface, the point, the number of eigenvalues and the trace, in a line."""
    known = spectrum.attributes
    n, trace = int(str(known["n_parameters"])), float(str(known["trace"]))
    stem = Path(str(known["surface"])).stem
    place = f"alpha = {known['alpha']:g}, beta = {known['beta']:g}"
    return f"{stem} at {place}: {n:,} eigenvalues, trace {trace:.4g}"
