"""What is asked of the Hessian of a surface. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landscape_mpi.engine.request import Evaluation, MovedInputs, Rounds


@dataclass(frozen=True)
class Solver:
    """How eigenvalues are found."""

    tolerance: float  # of a residual, relative
    max_products: int  # of a point
    solver: str  # lanczos or arpack
    basis: int  # vectors kept
    memory: float | None = None  # GB, for what is kept between products


@dataclass(frozen=True)
class SpectrumRequest:
    """More of the spectrum, at one point."""

    top: int  # eigenvectors
    spectrum: tuple[float, float] | None = None  # the point; None for the ends at all points
    out: Path | None = None  # None for a file beside the surface


@dataclass(frozen=True)
class HessianRequest:
    """Eigenvalues at the points of a surface file, or the spectrum at one point."""

    surface: Path
    moved: MovedInputs
    solver: Solver
    spectrum: SpectrumRequest
    evaluation: Evaluation
    rounds: Rounds
    parameters: str  # moved or all
    stride: int
    gauss_newton: bool = False
    directions: Path | None = None  # the file that they were taken from
    limit: int | None = None  # training samples
    subset: str | None = None
    fresh: bool = False

    @property
    def spectrum_out(self) -> Path:
        """Return the file of the spectrum: the one that is named, or one beside the surface."""
        alpha, beta = self.spectrum.spectrum or (0.0, 0.0)
        name = f"{self.surface.stem}.spectrum_{alpha:g}_{beta:g}.h5"
        return self.spectrum.out or self.surface.with_name(name)
