"""Write runs of checkpoints of a known trajectory, make planes, and read them by h5py alone."""

import h5py
import numpy as np
import torch

from landscape_mpi import trajectory
from landscape_mpi.cluster import guard
from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.zoo.checkpoint import write_checkpoint
from landscape_mpi.zoo.networks import build_network


def small_network():
    return build_network("resnet8", n_channels=1, n_classes=10)


def moving_names(network):
    return [name for name, _ in network.named_parameters()]


def write_run(folder, n, *, seed=0, end=None, drop_at=None, network=None):
    """Write n checkpoints of a random walk with drift that ends in the state dict end."""
    folder.mkdir(parents=True)
    network = network or small_network()
    torch.manual_seed(seed)
    end = end or network.state_dict()
    steps = {name: torch.zeros_like(end[name]) for name in moving_names(network)}
    drift = {name: torch.randn_like(end[name]) for name in steps}
    states = []
    for epoch in range(n, -1, -1):
        moved = {name: end[name] + 0.01 * step for name, step in steps.items()}
        states.append((epoch, dict(end) | moved))
        for name in steps:
            noise = torch.randn_like(drift[name])
            steps[name] = steps[name] + drift[name] / n + 0.4 * noise * (1 + epoch) / n
    for epoch, state in states:
        network.load_state_dict(state)
        lr = 0.1 if drop_at is None or epoch < drop_at else 0.01
        write_checkpoint(folder / f"epoch_{epoch:04d}.pt", network, {"epoch": epoch, "lr": lr})
    return folder


def weights_of(path, *, ignore=(), names=None):
    """Return the parameters of a checkpoint as one float64 vector, by torch and numpy alone."""
    state = torch.load(path, weights_only=True)["state_dict"]
    names = names or moving_names(small_network())
    kept = [name for name in names if not any(word in name for word in ignore)]
    return np.concatenate([state[name].numpy().ravel().astype(np.float64) for name in kept])


def matrix_of(folder, center=None, **options):
    """Return all checkpoints of a run less the center, float64 [n, n_weights]."""
    files = sorted(folder.glob("*.pt"))
    origin = weights_of(center or files[-1], **options)
    return np.stack([weights_of(file, **options) - origin for file in files])


def directions_of(path, names=None):
    """Return both directions of a plane file, float64 [2, n_weights]."""
    with h5py.File(path) as file:
        vectors = []
        for axis in ("alpha", "beta"):
            group = file[f"directions/{axis}"]
            kept = [n for n in names or moving_names(small_network()) if n in group]
            vectors.append(np.concatenate([group[name][()].ravel() for name in kept]))
    return np.stack(vectors).astype(np.float64)


def content_of(path):
    """Return all that a plane says, but for when, where and by how many ranks it was made."""
    content = {}

    def visit(name, node):
        nonlocal content
        if isinstance(node, h5py.Dataset):
            content[name] = node[()].tobytes()
        elif name != "provenance":
            content |= {f"{name}@{key}": str(value) for key, value in node.attrs.items()}

    with h5py.File(path) as file:
        file.visititems(lambda name, node: visit(name, node))
    return content


def make_plane(*argv):
    """Run landscape_mpi.trajectory in this process, as one rank; return its status."""
    words = [str(word) for word in argv]
    options, problem = guard.parse_or_problem(trajectory.parse, words)
    return guard.run_guarded(trajectory.main, options, problem, start_ranks())
