"""Check the options that go with a problem, which has its own network, data and loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from landscape_mpi.engine.request import Evaluation, InputsRequest, LossRequest
from landscape_mpi.errors import InputError

ABOUT_NETWORKS = (
    "applies to networks of --model and data of --data, but a problem has its own network, data "
    "and loss"
)


def check_of_problem(asked: InputsRequest, others: Mapping[str, object]) -> None:
    """Refuse options for things that a problem decides itself, or cannot do.

    Args:
        asked: The request, with a problem.
        others: Further options that do not go with one, and their values.

    Raises:
        InputError: If there is such an option.
    """
    data, loss, usual = asked.data, asked.loss, LossRequest()
    given = {
        "--model": asked.network.model,
        "--data": data.data,
        "--data-dir": data.data_dir,
        "--download": data.download,
        "--mean": data.mean,
        "--std": data.std,
        "--subset": data.subset,
        "--loss": loss.loss != usual.loss,
        "--ignore-index": loss.ignore_index is not None,
        "--class-axis": loss.class_axis is not None,
        "--class-weights": loss.class_weights is not None,
        "--label-smoothing": loss.label_smoothing,
        **others,
    }
    for option, value in given.items():
        if value:
            assert asked.problem is not None
            raise InputError(
                f"{option}: {ABOUT_NETWORKS} ({asked.problem.name}). Leave it out, or set it in "
                f"the problem."
            )


def evaluation_of_problem(asked: Evaluation) -> Evaluation:
    """Return the evaluation of a problem's batches: unchanged, one after the other."""
    return replace(asked, precision="fp32", batch=1, compile="off", points_at_once=1)
