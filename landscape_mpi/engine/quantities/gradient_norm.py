"""The steepness of the loss: the norm of its gradient in the parameters that directions move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from landscape_mpi.engine.quantities.quantity import Quantity, ValueAt
from landscape_mpi.errors import InputError

if TYPE_CHECKING:
    from landscape_mpi.compute.evaluation import Setting
    from landscape_mpi.compute.moved_loss import MovedLoss


def _prepare(loss: MovedLoss, setting: Setting) -> ValueAt:
    from landscape_mpi.compute.gradient_plane import GradientPlane  # loads torch

    if not loss.parameters:
        raise InputError(
            "--also gradient_norm: the directions move no parameter, only buffers, so there is "
            "nothing to differentiate by. Leave it out, or use other directions."
        )
    plane = GradientPlane(
        loss.network,
        loss.directions,
        loss.losses,
        setting,
        parameters=loss.parameters,
        build=loss.build,
    )
    return plane.norm_at


GRADIENT_NORM = Quantity(
    prepare=_prepare,
    words="norm of the gradient of the mean loss with respect to the parameters that move",
)
