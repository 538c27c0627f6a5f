"""List the networks and the data sets for --list, one per line."""

from __future__ import annotations

import torch

from landscape_mpi.registry import DATA_SETS, USER_FUNCTION
from landscape_mpi.zoo.catalogue import find_network, network_forms, network_names
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

# Sample inputs for which the parameters of networks are counted.
SAMPLES = (
    Sample("image", (3, 32, 32), 10),
    Sample("table", (24,), 2),
    Sample("text", (30,), 65),
)
HEADINGS = {
    "image": "images",
    "table": "rows of a table",
    "text": "sequences of symbols",
    "array": "arrays of numbers",
    "": "your own, of any kind",
}


def list_models() -> str:
    """Return the networks with their numbers of parameters, grouped by their inputs."""
    lines = []
    for sample in SAMPLES:
        names = [n for n in network_names() if find_network(n).kinds[0] == sample.kind]
        answers = "symbols" if sample.kind == "text" else "classes"
        lines.append(f"{sample}, parameters for {sample.n_classes} {answers}:")
        lines += [f"  {name:24}{count_parameters(name, sample):>12,}" for name in names]
    lines.append("the words in capitals stand for any number:")
    lines += [f"  {form}" for form in network_forms()]
    lines.append(f"{USER_FUNCTION}: your own, returned by your function")
    return "\n".join(lines)


def count_parameters(name: str, sample: Sample) -> int:
    """Return the number of parameters of a zoo network without allocating them."""
    with torch.device("meta"):
        network = build_network(name, sample=sample)
    return sum(parameter.numel() for parameter in network.parameters())


def list_data() -> str:
    """Return the data sets with their sizes, training + test, and how to get their files."""
    lines = []
    for kind, heading in HEADINGS.items():
        found = {form: data for form, data in DATA_SETS.items() if data.kind == kind}
        if found:
            lines.append(f"{heading}:")
        for form, data in found.items():
            lines.append(f"  {form:24}{data.size_in_words:46}{data.files}")
    return "\n".join(lines)


LISTS = {"models": list_models, "data": list_data}
