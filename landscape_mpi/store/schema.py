"""The contents of a surface file: names, units and long names, the same everywhere.

Arrays on the grid are indexed [alpha, beta] and have the shape (n_alpha, n_beta); a line
has n_beta = 1. A point is computed where ``done`` is 1: NaN and infinity are results. It is
interpolated where ``done`` is 2, which only files of ``--adaptive`` have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FORMAT = "landscape_mpi surface"
N_CLASSES = "n_classes"  # root attribute, if the loss is the cross-entropy of classes
FORMAT_VERSION = 2  # 1 had no checksums
ADAPTIVE_VERSION = 3  # version of files in which points may be interpolated
SAMPLED_VERSION = 4  # version of files whose values are estimates from a part of the samples
COMPUTED, INTERPOLATED = 1, 2  # flags in done; 0 is neither
AXIS_LABELS = ("alpha", "beta")  # order of variation of the indexes, slowest first


@dataclass(frozen=True)
class Field:
    """One dataset of the surface file."""

    name: str
    dtype: str
    units: str
    long_name: str
    fill: float


AXES = (
    Field("alpha", "f8", "1", "coordinate along the first direction", 0.0),
    Field("beta", "f8", "1", "coordinate along the second direction", 0.0),
)

PRECISION_WARNING = "precision_warning"  # root attribute: the effect of a lower precision, in words
WEIGHT_DECAY_TERM = "weight_decay_term"
ARC_LENGTH = "arc_length"
SPLITS = ("train_", "test_")  # beginnings of the names of quantities that a surface run computes
KNOWN = (WEIGHT_DECAY_TERM, ARC_LENGTH)  # complete from the start, without computing
QUANTITIES = {
    field.name: field
    for field in (
        Field("train_loss", "f8", "nat", "mean loss over the training set", float("nan")),
        Field(
            "train_error", "f8", "percent", "misclassified share of the training set", float("nan")
        ),
        Field("test_loss", "f8", "nat", "mean loss over the test set", float("nan")),
        Field("test_error", "f8", "percent", "misclassified share of the test set", float("nan")),
        Field(
            WEIGHT_DECAY_TERM,
            "f8",
            "nat",
            "weight decay term, to be added to the loss",
            float("nan"),
        ),
        Field(ARC_LENGTH, "f8", "1", "length of the path from t = 0 on", float("nan")),
    )
}

BOOKKEEPING = {
    field.name: field
    for field in (
        Field("done", "u1", "1", "1 where the point is computed", 0),
        Field("seconds", "f8", "s", "time the point took on its rank", float("nan")),
        Field("rank", "i4", "1", "MPI rank that computed the point", -1),
        Field("checksum", "u8", "1", "checksum of all that is stored of the point", 0),
    )
}

# Datasets that landscape_mpi.hessian adds: values of a point, and details of their computation.
HESSIAN = {
    field.name: field
    for field in (
        Field("hessian_min", "f8", "nat", "smallest eigenvalue of the Hessian", float("nan")),
        Field("hessian_max", "f8", "nat", "largest eigenvalue of the Hessian", float("nan")),
        Field("hessian_min_residual", "f8", "nat", "length of H u - hessian_min u", float("nan")),
        Field("hessian_max_residual", "f8", "nat", "length of H u - hessian_max u", float("nan")),
        Field("hessian_products", "i4", "1", "Hessian-vector products of the point", -1),
        Field("hessian_start", "i4", "1", "0 random, 1 eigenvectors of a neighbour", -1),
    )
}
HESSIAN_VALUES = ("hessian_min", "hessian_max")
# Made from both when they are read.
RATIO = Field(
    "hessian_ratio", "f8", "1", "|smallest / largest eigenvalue| of the Hessian", float("nan")
)

HESSIAN_RUNS = "provenance/hessian_runs"
HESSIAN_DONE = "hessian_done"
HESSIAN_BOOKKEEPING = {
    field.name: field
    for field in (
        Field(HESSIAN_DONE, "u1", "1", "1 where the eigenvalues are computed", 0),
        Field("hessian_seconds", "f8", "s", "time the eigenvalues took", float("nan")),
        Field("hessian_rank", "i4", "1", "MPI rank that computed the eigenvalues", -1),
        Field("hessian_checksum", "u8", "1", "checksum of all about the eigenvalues", 0),
    )
}


# Datasets that a run with a tolerance adds, beside the errors of each loss.
ADAPTIVE = "adaptive"  # root attribute: the tolerance; its unit is in adaptive_unit
ADAPTIVE_OFFSET = "adaptive_offset"  # added to a loss before its logarithm; missing in older files
CHECK_ERROR, CHECK_ESTIMATE = "check_error", "check_estimate"
CHECK_CHECKSUM = "check_checksum"  # missing in older files
ESTIMATE = "_error"  # ending of the name of a loss's estimated error


def is_loss(name: str) -> bool:
    """Say whether a quantity is the loss of a split, whose interpolation keeps a tolerance."""
    return name in {f"{split}loss" for split in SPLITS}


def adaptive_fields(quantities: tuple[Field, ...], unit: str) -> tuple[Field, ...]:
    """Return the additional datasets of files with interpolated points.

    Args:
        quantities: Quantities of a point.
        unit: Unit of the tolerance.
    """
    words = "estimated error of the interpolated {}, 0 where it is computed"
    errors = (
        Field(f"{item.name}{ESTIMATE}", "f8", item.units, words.format(item.name), float("nan"))
        for item in quantities
        if is_loss(item.name)
    )
    checked = "error of the interpolation at points that were computed to check it"
    estimated = "estimated error of the interpolation at these points"
    return (
        *errors,
        Field(CHECK_ERROR, "f8", unit, checked, float("nan")),
        Field(CHECK_ESTIMATE, "f8", unit, estimated, float("nan")),
        Field(CHECK_CHECKSUM, "u8", "1", f"checksum of {CHECK_ERROR} and {CHECK_ESTIMATE}", 0),
    )


def quantities_of(splits: tuple[str, ...], *, error: bool = True) -> tuple[str, ...]:
    """Return the names of the quantities for these splits, loss before error.

    Args:
        splits: Splits that are evaluated.
        error: Whether they have an error; numbers to predict have none.
    """
    measures = ("loss", "error") if error else ("loss",)
    return tuple(f"{split}_{measure}" for split in splits for measure in measures)


# A table of fixed size, so that a resumed run adds a row without changing the file's structure.
MAX_RUNS = 64
RUN = np.dtype(
    [
        ("started", "S32"),  # ISO 8601, UTC
        ("ended", "S32"),  # empty while it runs, and for ever if it was killed
        ("outcome", "S32"),  # complete, stopped by SIGTERM, ...
        ("points", "i8"),  # computed by this run
        ("ranks", "i4"),
        ("ranks_per_point", "S16"),  # 1, or e.g. 2 to 3
        ("threads", "S32"),  # threads of a rank, e.g. 2 threads
        ("devices", "S512"),
        ("hosts", "S512"),
        ("versions", "S256"),
        ("writer", "S32"),  # store.writer.describe_writers
        ("command", "S2048"),
        ("user", "S64"),  # empty if the user hides it; older files without it stay valid
        ("checksum", "u8"),  # of the row; 0 or missing in rows of older programs
    ]
)
