"""Define the request of a surface's Hessian. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landscape_mpi.engine.request import Evaluation, MovedInputs, Rounds


@dataclass(frozen=True)
class Solver:
    """Hold how eigenvalues are found."""

    tolerance: float  # relative tolerance of a residual
    max_products: int  # most products of a point
    solver: str  # lanczos or arpack
    basis: int  # number of vectors kept
    memory: float | None = None  # memory for batches kept between products, GB


@dataclass(frozen=True)
class SpectrumRequest:
    """Hold the request of more of the spectrum at one point."""

    top: int  # number of eigenvectors
    spectrum: tuple[float, float] | None = None  # the point; None for the ends at all points
    out: Path | None = None  # None for a file beside the surface


@dataclass(frozen=True)
class HessianRequest:
    """Hold the request of eigenvalues at a surface's points, or of the spectrum at one point."""

    surface: Path
    moved: MovedInputs
    solver: Solver
    spectrum: SpectrumRequest
    evaluation: Evaluation
    rounds: Rounds
    parameters: str  # moved or all
    stride: int
    gauss_newton: bool = False
    directions: Path | None = None  # file of the surface's directions
    limit: int | None = None  # number of training samples
    subset: str | None = None
    fresh: bool = False
    repair: bool = False  # compute damaged eigenvalues again

    @property
    def spectrum_out(self) -> Path:
        """Return the file of the spectrum: the named one, or one beside the surface."""
        alpha, beta = self.spectrum.spectrum or (0.0, 0.0)
        name = f"{self.surface.stem}.spectrum_{alpha:g}_{beta:g}.h5"
        return self.spectrum.out or self.surface.with_name(name)
