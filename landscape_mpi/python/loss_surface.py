"""Use a surface in Python: values, pictures and xarray; needs neither torch nor MPI."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.output import whole_file
from landscape_mpi.problem import Problem
from landscape_mpi.python.card import html_card, one_line
from landscape_mpi.python.keywords import in_keywords
from landscape_mpi.store.reader import Surface, check_computed, read_surface

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from landscape_mpi.analysis.rings import Rings

OPTIONS_OF_SUMMARY = ("x", "y", "out", "batch_norm")  # options that a summary may recommend


class LossSurface:
    """The loss of a network on a line or a plane through weight space, as its file holds it.

    The values do not change after reading: if a job is still filling the file, the object has the
    values from the time of opening.

    >>> surface = open_surface("mine.h5")
    >>> surface
    <LossSurface mine.h5: resnet56 on cifar10, 5 x 3 points, all computed; train_loss 1 to 2.25>
    >>> surface.values["train_loss"][surface.center]
    np.float64(1.0)
    """

    def __init__(
        self, surface: Surface, *, keep: object = None, problem: Problem | None = None
    ) -> None:
        """Wrap a surface from the reader.

        Args:
            surface: Surface from the reader.
            keep: Object to keep alive with this one, e.g. the temporary folder of the file.
            problem: Problem that it was computed for, if known here.
        """
        self._surface = surface
        self._keep = keep
        self.problem = problem

    def read_again(self) -> LossSurface:
        """Read the surface's file again.

        >>> open_surface("mine.h5").read_again().path.name
        'mine.h5'
        """
        return LossSurface(read_surface(self.path), keep=self._keep, problem=self.problem)

    @property
    def path(self) -> Path:
        """Return the file.

        >>> open_surface("mine.h5").path.name
        'mine.h5'
        """
        return self._surface.path

    @property
    def alpha(self) -> np.ndarray:
        """Return the coordinates along the first direction, float64 [n_alpha], read-only.

        >>> open_surface("mine.h5").alpha
        array([-1. , -0.5,  0. ,  0.5,  1. ])
        """
        return _read_only(self._surface.alpha)

    @property
    def beta(self) -> np.ndarray:
        """Return the coordinates along the second direction, float64 [n_beta]; one for a line.

        >>> open_surface("mine.h5").beta
        array([-0.5,  0. ,  0.5])
        """
        return _read_only(self._surface.beta)

    @property
    def values(self) -> Mapping[str, np.ndarray]:
        """Return the quantities by name, float64 [n_alpha, n_beta]; NaN if not computed.

        >>> surface = open_surface("mine.h5")
        >>> list(surface.values)
        ['train_loss', 'train_error']
        >>> surface.values["train_loss"].shape
        (5, 3)
        """
        values = self._surface.values.items()
        return MappingProxyType({name: _read_only(array) for name, array in values})

    @property
    def done(self) -> np.ndarray:
        """Return which points have a value, bool [n_alpha, n_beta]; it may be NaN.

        >>> int(open_surface("mine.h5").done.sum())
        15
        """
        return _read_only(self._surface.done)

    @property
    def interpolated(self) -> np.ndarray:
        """Return which of these points are interpolated, not computed, bool [n_alpha, n_beta].

        >>> int(open_surface("mine.h5").interpolated.sum())
        0
        """
        found = self._surface.interpolation
        return np.zeros(self._surface.shape, bool) if found is None else _read_only(found.points)

    @property
    def errors(self) -> Mapping[str, np.ndarray]:
        """Return the estimated errors of interpolated losses, in their units, 0 where computed.

        >>> dict(open_surface("mine.h5").errors)
        {}
        """
        found = self._surface.interpolation
        errors = {} if found is None else found.errors
        return MappingProxyType({name: _read_only(array) for name, array in errors.items()})

    @property
    def standard_errors(self) -> Mapping[str, np.ndarray]:
        """Return the standard errors of estimates by quantity, in their units, NaN where none is.

        They are empty if every sample was taken at every point; 1.96 of them cover 95 %.

        >>> dict(open_surface("mine.h5").standard_errors)
        {}
        """
        found = self._surface.sampling
        errors = {} if found is None else found.errors
        return MappingProxyType({name: _read_only(array) for name, array in errors.items()})

    @property
    def n_samples(self) -> Mapping[str, np.ndarray]:
        """Return the samples or batches taken at each point by split, if values are estimates.

        >>> dict(open_surface("mine.h5").n_samples)
        {}
        """
        found = self._surface.sampling
        taken = {} if found is None else found.n_samples
        return MappingProxyType({split: _read_only(array) for split, array in taken.items()})

    @property
    def center(self) -> tuple[int, int] | None:
        """Return the indices [alpha, beta] of the trained weights; None if no point is there.

        >>> open_surface("mine.h5").center
        (2, 1)
        """
        return self._surface.center

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes of the file: network, data, loss, how it was computed.

        >>> open_surface("mine.h5").attributes["model"]
        'resnet56'
        """
        return MappingProxyType(self._surface.attributes)

    def to_xarray(self) -> xarray.Dataset:
        """Return the surface as a dataset over alpha and beta; it needs xarray.

        Trajectories, a curve and solutions in the plane become additional variables, such as
        ``trajectory_alpha`` over run and checkpoint.

        >>> dataset = open_surface("mine.h5").to_xarray()
        >>> float(dataset.train_loss.sel(alpha=0.5, beta=0))
        1.25
        >>> dataset.train_loss.attrs["units"]
        'nat'
        """
        from landscape_mpi.python.xarray_dataset import make_dataset

        return make_dataset(self._surface)

    def plot(
        self,
        kind: str | None = None,
        *,
        ax: Axes | None = None,
        quantity: str | Sequence[str] | None = None,
        scale: str | None = None,
        levels: int | Sequence[float] | None = None,
        smooth: int = 1,
        critical: float | None = None,
        path: bool = True,
        colorbar: bool | None = None,
        legend: bool = True,
        title: str | None = None,
    ) -> Axes:
        """Draw the surface into your axes like python -m landscape_mpi.plot.

        Figures with layout="constrained" leave most space; no setting of matplotlib changes.

        Args:
            kind: contour, filled, heatmap, surface, ring, or line; None for contour or line.
            ax: Axes to draw into (projection="3d" for surface); None for a new figure of pyplot.
            quantity: One, or a sum; several for a line. None for the first; for a line, for all.
            scale: linear, log or symlog; None for that of the plot command.
            levels: Approximate number of contour levels, or the levels; None for the usual.
            smooth: Factor by which a spline multiplies the cells; the legend shows it.
            critical: Mark minima, saddles and maxima of at least this persistence; needs gudhi.
            path: Whether to draw trajectories and curves in the plane.
            colorbar: Whether to draw a colour bar; None to draw it if there is space.
            legend: Whether to explain the marks below the axes.
            title: None for network and data; "" for none.

        Returns:
            The axes.

        >>> from matplotlib.figure import Figure
        >>> left, right = Figure(layout="constrained").subplots(1, 2)
        >>> surface = open_surface("mine.h5")
        >>> surface.plot("contour", ax=left).get_title()
        'resnet56, cifar10'
        >>> surface.plot("heatmap", ax=right, quantity="train_error", title="error").get_title()
        'error'
        """
        from landscape_mpi.views.given_axes import Look, draw_in, kind_of

        look = Look(
            kind_of(self._surface, kind),
            quantity,
            scale,
            levels,
            smooth,
            critical,
            path,
            colorbar,
            legend,
            title,
        )
        axes = ax if ax is not None else _new_axes(look.kind == "surface")
        draw_in(axes, self._surface, look)
        return axes

    def rings(self, quantity: str | None = None) -> Rings:
        """Return median and 5 to 95 % band of a quantity on circles around the center of a plane.

        Args:
            quantity: Name of a quantity, or a sum of names; None for the first one.

        Returns:
            The radii, and ``low``, ``median`` and ``high`` over the directions, float64 [n]; NaN if
            a circle touches points without a finite value. ``reach(level)`` is the smallest radius
            at which the median reaches a level; ``at(radius)`` gives the three numbers at a radius.

        Raises:
            InputError: If this is a line, or nothing of the quantity is computed.

        >>> rings = open_surface("mine.h5").rings("train_loss")
        >>> rings.radius
        array([0.  , 0.25, 0.5 ])
        >>> round(rings.reach(1.2), 3)
        0.321
        """
        from landscape_mpi.views.choice import choose_quantities
        from landscape_mpi.views.ring_table import measure_rings

        if self._surface.is_line:
            raise InputError(
                f"{self.path}: rings() needs a plane, but this is a line, which has no circles. "
                "Its values are in .values."
            )
        check_computed(self._surface)
        asked = None if quantity is None else [quantity]
        surface, names = choose_quantities(self._surface, asked)
        return measure_rings(surface, names[0]).rings

    def summary(self) -> str:
        """Describe the surface in numbers and words, and whether it looks right.

        This is the output of python -m landscape_mpi.surface --summary=FILE, with keywords of
        compute_surface instead of options.

        >>> print(open_surface("mine.h5").summary().splitlines()[0])
        mine.h5: resnet56 on cifar10, 5 x 3 points
        """
        from landscape_mpi.views.summary import summary_of

        lines = summary_of(self._surface).split("\n")
        return "\n".join(in_keywords(line, OPTIONS_OF_SUMMARY) for line in lines)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the whole file, as it is now, to another place.

        Args:
            path: Path of the copy.
            overwrite: Whether to replace an existing file.

        Returns:
            The path of the copy.

        Raises:
            InputError: If a file exists and must not be replaced, or if the copy is incomplete.

        >>> open_surface("mine.h5").save("copy.h5").name
        'copy.h5'
        """
        target = Path(path).expanduser()
        _check_target(self.path, target, overwrite=overwrite)
        with whole_file(target) as partial:
            shutil.copyfile(self.path, partial)
            try:
                read_surface(partial)  # checksums show whether a job has written in between
            except InputError as problem:
                raise InputError(
                    f"{target}: the copy of {self.path} is not complete, so it is deleted. A job "
                    "that fills the file may have written to it: try again, or wait for the end "
                    f"of the job. ({problem})"
                ) from problem
        return target

    def __repr__(self) -> str:
        return one_line(self._surface)

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        return html_card(self._surface)


def open_surface(path: str | Path) -> LossSurface:
    """Read a surface file, complete or not, ours or the reference implementation's.

    Args:
        path: Path of a file that landscape_mpi.surface --out has written.

    >>> import landscape_mpi as lm
    >>> lm.open_surface("mine.h5").done.all()
    np.True_
    """
    return LossSurface(read_surface(Path(path).expanduser()))


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _new_axes(in_space: bool) -> Axes:
    from matplotlib import pyplot  # a notebook shows it automatically

    figure = pyplot.figure(layout="constrained")
    return figure.add_subplot(projection="3d" if in_space else None)


def _check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    if not source.exists():
        raise MissingInputError(
            f"{source}: no longer exists, so it cannot be copied. Keep the file, or compute the "
            "surface with out=FILE."
        )
    if not target.parent.is_dir():
        raise MissingInputError(
            f"{target}: there is no folder {target.parent}. Make it, or name another place."
        )
    if target.is_dir():
        raise InputError(f"{target}: is a folder. Name a file in it.")
    if not target.exists():
        return
    if target.samefile(source):
        raise InputError(f"{target}: is the file of this surface. Name another file.")
    if not overwrite:
        raise InputError(
            f"{target}: already exists and would be lost. Pass overwrite=True to replace it, or "
            "name another file."
        )
