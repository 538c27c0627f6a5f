"""The problem of a surface file, made again by the name of its function in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from landscape_mpi.engine.problem_inputs import ProblemInputs, limited, read_problem
from landscape_mpi.engine.problem_source import LIVE, ProblemSource
from landscape_mpi.engine.request import DataRequest, MovedInputs
from landscape_mpi.engine.stored_inputs import check_digests, stored_network
from landscape_mpi.errors import InputError
from landscape_mpi.store.resume import attribute_text
from landscape_mpi.store.stored_surface import StoredSurface

WAYS = {
    "weights_sha256": "pass --checkpoint with them, or let the problem use its original network "
    "again",
    "data_sha256": "let the problem read its original data, and seed its random draws and shuffles",
}


def is_of_problem(stored: StoredSurface) -> bool:
    """Say whether a surface is that of a problem."""
    return "problem" in stored.attributes["/"]


def check_of_stored_problem(
    moved: MovedInputs,
    stored: StoredSurface,
    others: Mapping[str, object],
    whys: Mapping[str, str] | None = None,
) -> None:
    """Refuse options for things that the problem of a surface decides itself.

    Args:
        moved: Present places of its inputs.
        stored: The stored surface.
        others: Further options that do not go with one, and their values.
        whys: Reasons against some of them, in words; the others are about networks and data.

    Raises:
        InputError: If there is such an option.
    """
    given = {"--data-dir": moved.data_dir, "--download": moved.download, **others}
    for option, value in given.items():
        if value:
            why = (whys or {}).get(option, "applies to networks of --model and data of --data")
            raise InputError(
                f"{option}: {why}; {stored.path} belongs to the problem "
                f"{stored.text('/', 'problem')}. Leave out {option}."
            )


def read_stored_problem(moved: MovedInputs, stored: StoredSurface) -> ProblemInputs:
    """Make the problem of a surface again, and check that it is the same one.

    Local; call it on one rank.

    Args:
        moved: Present places of its inputs.
        stored: The stored surface.

    Raises:
        InputError: If it is another problem, or was never named.
    """
    name = stored.text("/", "problem")
    if moved.problem is None and name == LIVE:
        raise InputError(
            f"{stored.path}: belongs to a problem that was passed in Python, so the file has no "
            "name for it. Pass --problem package.module:function that returns it, or call "
            "landscape_mpi.compute_hessian with the problem."
        )
    limit = stored.text("/", "limit")
    inputs = read_problem(
        moved.problem or ProblemSource(name),
        stored_network(moved, stored),
        DataRequest(
            splits=tuple(stored.text("/", "splits").split(",")),
            limit=None if limit == "none" else int(limit),
        ),
    )
    _check_attributes(stored, inputs)
    check_digests(stored, inputs.sha256, WAYS)
    return inputs


def some_batches(inputs: ProblemInputs, n: int) -> ProblemInputs:
    """Return inputs with the first of the training data, and no other split.

    Args:
        inputs: Inputs with a training split.
        n: Number of samples, or of batches if the data are in batches.
    """
    source = limited(inputs.sources["train"], n)
    subject = replace(inputs.subject, n_samples={"train": len(source)})
    return replace(inputs, sources={"train": source}, subject=subject)


def _check_attributes(stored: StoredSurface, inputs: ProblemInputs) -> None:
    for name in ("problem_seed", "problem_dtype"):
        known, found = stored.text("/", name), attribute_text(inputs.subject.attributes[name])
        if known != found:
            word = name.removeprefix("problem_")
            raise InputError(
                f"{stored.path}: was computed with the {word} {known} of its problem, which now "
                f"has the {word} {found}. Give the problem its original {word}."
            )
