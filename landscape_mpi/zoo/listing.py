"""What --list prints: the networks and the data sets there are, one a line."""

from __future__ import annotations

import torch

from landscape_mpi.zoo.catalogue import HOOK, find_network, network_names
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

# What the networks of a kind are counted for.
SAMPLES = (
    Sample("image", (3, 32, 32), 10),
    Sample("table", (24,), 2),
    Sample("text", (30,), 65),
)
FETCHED = "--data-dir DIR; --download fetches it there"
DATA: dict[str, dict[str, tuple[str, str]]] = {
    "images": {
        "cifar10": ("50,000 + 10,000 of 3 x 32 x 32, 10 classes", FETCHED),
        "cifar100": ("50,000 + 10,000 of 3 x 32 x 32, 100 classes", FETCHED),
        "mnist": ("60,000 + 10,000 of 1 x 28 x 28, 10 classes", FETCHED),
        "fashion_mnist": ("60,000 + 10,000 of 1 x 28 x 28, 10 classes", FETCHED),
        "digits": ("1,438 + 359 of 1 x 8 x 8, 10 classes", "nothing to fetch"),
        "folder:DIR": ("yours, all of one size", "DIR/train/CLASS/*.png, DIR/test/CLASS/*.png"),
        "npz:FILE": ("yours, of bytes", "images, labels, test_images, test_labels"),
    },
    "rows of a table": {
        "seismic": ("1,938 + 646 of 24 numbers, 2 classes", FETCHED),
        "seismic:SEED": ("split by another seed", "likewise"),
    },
    "sequences of symbols": {
        "shakespeare": ("30 characters each, 65 symbols", FETCHED),
        "shakespeare:LENGTH": ("of another length", "likewise"),
    },
    "yours, of any kind": {
        HOOK: ("arrays, tensors or Datasets", "returned by your function, see the README"),
    },
}


def list_models() -> str:
    """Return the networks with their numbers of parameters, grouped by what they take."""
    lines = []
    for sample in SAMPLES:
        names = [n for n in network_names() if find_network(n).kinds[0] == sample.kind]
        answers = "symbols" if sample.kind == "text" else "classes"
        lines.append(f"{sample}, parameters for {sample.n_classes} {answers}:")
        lines += [f"  {name:24}{count_parameters(name, sample):>12,}" for name in names]
    lines.append("feedforwardDEPTH, feedforwardDEPTH_skipFIRST_LAST (for tables too), rnnUNITS,")
    lines.append("lstmUNITS, gruUNITS: any numbers in the places of the capitals")
    lines.append(f"{HOOK}: yours, returned by your function")
    return "\n".join(lines)


def count_parameters(name: str, sample: Sample) -> int:
    """Return the number of parameters of a network of the zoo, without memory for them."""
    with torch.device("meta"):
        network = build_network(name, sample=sample)
    return sum(parameter.numel() for parameter in network.parameters())


def list_data() -> str:
    """Return the data sets with their sizes, training + test, and how to get their files."""
    lines = []
    for kind, entries in DATA.items():
        lines.append(f"{kind}:")
        lines += [f"  {name:24}{what:46}{files}" for name, (what, files) in entries.items()]
    return "\n".join(lines)


LISTS = {"models": list_models, "data": list_data}
