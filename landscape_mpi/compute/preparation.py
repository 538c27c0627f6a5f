"""Make a network fast without changing what it computes: fold, fuse, choose the type."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import fx, nn

from landscape_mpi.compute import fusion
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.folding import BATCH_NORMS, FoldedNetwork, fold
from landscape_mpi.compute.selection import NORM_LAYERS


@dataclass(frozen=True)
class PreparedNetwork:
    """A network ready to move over its plane."""

    network: nn.Module
    directions: dict[str, Direction]  # by axis, those of this network
    dtype: torch.dtype  # of its weights while it computes
    description: str  # what was done, for the log and the file


def prepare_network(
    network: nn.Module,
    directions: dict[str, Direction],
    sample: torch.Tensor,
    setting: Setting,
    *,
    keep_norms: bool = False,
    fused: bool = True,
) -> PreparedNetwork:
    """Fold batch-norm, fuse on CPUs, and choose the type of the weights.

    Args:
        network: Float32, in evaluation mode, on the CPU; it belongs to the result from then on.
        directions: By axis, on the network's parameters and buffers.
        sample: Some inputs of the network, on the CPU.
        setting: How it will be evaluated.
        keep_norms: Leave the batch-norm layers in, whose statistics change.
        fused: Fuse where that is possible; fused operations take the weights of one point.
    """
    if keep_norms:
        n_norms = sum(isinstance(module, BATCH_NORMS) for module in network.modules())
        kept = f"{n_norms} batch-norms kept"
        return PreparedNetwork(network, directions, torch.float32, kept)
    folded = fold_if_right(network, directions, sample)
    words = [_describe(folded)]
    if (
        fused
        and isinstance(folded.network, fx.GraphModule)
        and setting.device == "cpu"
        and fusion.is_available()
    ):
        words.append(f"{fusion.fuse(folded.network, sample)} convolutions fused")
    dtype = torch.float32
    if setting.precision == "bf16" and _is_plain(folded):
        dtype = torch.bfloat16
    return PreparedNetwork(folded.network, folded.directions, dtype, ", ".join(words))


def fold_if_right(
    network: nn.Module, directions: dict[str, Direction], sample: torch.Tensor
) -> FoldedNetwork:
    """Fold, and check on the sample that the traced network still is the network.

    Tracing keeps what the network computed for a stand-in: Python values that change from call
    to call, or depend on the batch, would be frozen without a word.
    """
    folded = fold(copy.deepcopy(network), directions)
    if folded.problem is not None:
        return replace(folded, network=network)
    with torch.no_grad():
        expected, found = network(sample), folded.network(sample)
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    if torch.allclose(found, expected, rtol=0, atol=1e-3 * scale, equal_nan=True):
        return folded
    problem = f"traced it gives other outputs, by up to {(found - expected).abs().max():.3g}"
    return FoldedNetwork(network, directions, 0, folded.n_folded + folded.n_left, problem)


def _describe(folded: FoldedNetwork) -> str:
    if folded.problem is not None:
        return f"unfolded, since it cannot be traced ({folded.problem[:100]})"
    left = f", {folded.n_left} left" if folded.n_left else ""
    return f"{folded.n_folded} batch-norms folded{left}"


def _is_plain(folded: FoldedNetwork) -> bool:
    """Return whether all layers may compute in bfloat16; normalisation needs float32 inside."""
    traced = folded.problem is None
    return traced and not any(isinstance(m, NORM_LAYERS) for m in folded.network.modules())
