"""Make a network fast without changing what it computes: fold, fuse, choose the type."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import fx, nn

from landscape_mpi.compute import fusion
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.folding import FoldedNetwork, fold
from landscape_mpi.compute.moving_network import type_of
from landscape_mpi.compute.norms import NORM_LAYERS, has_statistics
from landscape_mpi.compute.ties import tie_again, ties_of

Build = Callable[[], nn.Module]  # builds the network again, in training mode, on the CPU


@dataclass(frozen=True)
class PreparedNetwork:
    """Hold a network that is ready to move on its plane."""

    networks: list[nn.Module]  # one network, or one for each thread if threads need their own
    directions: dict[str, Direction]  # directions of this network, by axis
    dtype: torch.dtype  # type of its weights while it computes
    description: str  # steps taken, for the log and the file


def prepare_network(
    network: nn.Module,
    directions: dict[str, Direction],
    sample: torch.Tensor,
    setting: Setting,
    *,
    keep_norms: bool = False,
    fused: bool = True,
    build: Build | None = None,
) -> PreparedNetwork:
    """Fold batch-norm, fuse on CPUs, and choose the weights' type, if the setting has these steps.

    Args:
        network: Network on the CPU; it belongs to the result from then on.
        directions: Directions by axis, for the network's parameters and buffers.
        sample: Some inputs of the network, on the CPU.
        setting: How the network will be evaluated.
        keep_norms: Keep the batch-norm layers, because their statistics will change.
        fused: Fuse where possible; fused operations take the weights of a single point.
        build: Function that builds the networks of further threads; None if threads may share this
            one.
    """
    steps = setting.steps
    if sample.is_floating_point():
        sample = sample.to(type_of(network))
    if keep_norms or not steps.folded:
        n_norms = sum(map(has_statistics, network.modules()))
        kept = f"{counted(n_norms, 'batch-norm')} kept"
        networks = networks_of_threads(network, setting, build)
        return PreparedNetwork(networks, directions, type_of(network), kept)
    folded = fold_if_right(network, directions, sample)
    words = [_describe(folded)]
    if folded.problem is not None:
        networks = networks_of_threads(folded.network, setting, build)
        return PreparedNetwork(networks, directions, type_of(network), words[0])
    traced = folded.network
    dtype = type_of(traced)
    if setting.precision == "bf16" and _is_plain(traced):
        dtype = torch.bfloat16
    fuses = fused and steps.fused and setting.device.is_host and fusion.is_available(dtype)
    if fuses and isinstance(traced, fx.GraphModule):
        words.append(f"{counted(fusion.fuse(traced, sample), 'convolution')} fused")
    return PreparedNetwork([traced], folded.directions, dtype, ", ".join(words))


def networks_of_threads(
    network: nn.Module, setting: Setting, build: Build | None
) -> list[nn.Module]:
    """Return a network for each thread, because the user's code may store results in itself."""
    if build is None:
        return [network]
    return [network, *(build() for _ in range(setting.n_threads - 1))]


def fold_if_right(
    network: nn.Module, directions: dict[str, Direction], sample: torch.Tensor
) -> FoldedNetwork:
    """Fold; check on the sample that the traced network equals the original at the center.

    Tracing keeps the values that the network computed for a stand-in: Python values that change
    from call to call, or depend on the batch, would be frozen silently.
    """
    n_norms = sum(map(has_statistics, network.modules()))

    def unfolded(problem: str) -> FoldedNetwork:
        return FoldedNetwork(network, directions, 0, n_norms, problem)

    if has_hooks(network):
        return unfolded("it has forward hooks")
    network.eval()
    try:
        copied = copy.deepcopy(network)
        tie_again(copied, ties_of(network))
        folded = fold(copied, directions, sample)
        if folded.problem is not None:
            return unfolded(folded.problem)
        with torch.no_grad():
            expected, found = network(sample), folded.network(sample)
        finite = expected[expected.isfinite()]
        scale = float(finite.abs().max()) if finite.numel() else 0.0
        if torch.allclose(found, expected, rtol=0, atol=1e-3 * scale, equal_nan=True):
            return folded
    except Exception as problem:  # the user's code, copied and run on stand-ins
        words = " ".join(str(problem).split())
        return unfolded(f"{type(problem).__name__}: {words}")
    return unfolded(
        f"the traced network gives other outputs, by up to {(found - expected).abs().max():.3g}"
    )


def has_hooks(network: nn.Module) -> bool:
    """Return whether a network has forward hooks, which tracing does not see."""
    return any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def _describe(folded: FoldedNetwork) -> str:
    if folded.problem is not None:
        return f"unfolded, because it cannot be traced ({folded.problem[:100]})"
    left = f", {folded.n_left} left" if folded.n_left else ""
    return f"{counted(folded.n_folded, 'batch-norm')} folded{left}"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _is_plain(network: nn.Module) -> bool:
    """Return whether all layers may compute in bfloat16; a normalisation needs float32."""
    return not any(isinstance(m, NORM_LAYERS) for m in network.modules())
