"""Random networks as hypothesis draws them: the rows of the table, and any number of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from cases.random_layers import ACTIVATIONS, BATCH_NORMS, MAPS, norms_of
from cases.random_networks import RandomNetwork, random_network

# One vector has no filters, and the norm of a matrix is not that of its rows.
NOT_RESCALABLE = ("flat", "spectral_norm")
PENALTIES = ("", "", "parameters", "names", "vector")


def chains(
    domain: str,
    maps: Sequence[str] = (),
    norms: Sequence[str] = (),
    before: st.SearchStrategy[bool] | None = None,
) -> st.SearchStrategy[list[Any]]:
    """Draw a map with its norm and activation."""
    return st.tuples(
        st.just("chain"),
        st.sampled_from(maps or MAPS[domain]),
        st.sampled_from(norms or norms_of(domain)),
        st.sampled_from(list(ACTIVATIONS)),
        before or st.booleans(),
    ).map(list)


def simple(domain: str) -> st.SearchStrategy[list[Any]]:
    """Draw a part that holds no others."""
    kinds = [
        chains(domain),
        chains(domain),
        st.just(["tied"]),
        st.just(["listed"]),
        st.just(["low_rank"]),
        st.tuples(st.just("buffered"), st.booleans()),
        st.tuples(st.just("viewed"), st.sampled_from(["view", "reshape", "strided"])),
        st.tuples(st.just("dropping"), st.just(0.3)),
    ]
    if domain == "sequence":
        kinds += [
            st.tuples(st.just("attention"), st.sampled_from(["torch", "own", "fused"])),
            st.tuples(st.just("encoder"), st.booleans()),
            st.tuples(st.just("recurrent"), st.sampled_from(["LSTM", "GRU", "RNN"])),
            st.just(["stepping"]),
        ]
    return st.one_of(kinds).map(list)


def parts(domain: str) -> st.SearchStrategy[list[Any]]:
    """Draw any part."""
    return st.recursive(simple(domain), lambda inner: holders(inner), max_leaves=4)


def holders(inner: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[list[Any]]:
    """Draw a part that holds others."""
    some = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        st.tuples(st.just("residual"), some, st.booleans()),
        st.tuples(st.just("branched"), some, some, st.sampled_from(["sum", "gate", "larger"])),
        st.tuples(st.just("shared"), inner, st.integers(2, 3)),
        st.tuples(st.just("hooked"), inner, st.sampled_from(["before", "behind", "keep"])),
        st.tuples(st.just("skips"), some),
        st.tuples(st.just("branching"), inner),
        st.tuples(st.just("optional"), inner, st.sampled_from(["none", "keywords", "star"])),
        st.tuples(st.just("called_with"), inner),
    ).map(list)


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a network with its data and loss."""
    domain = draw(st.sampled_from(["image", "sequence", "rows"]))
    tasks = ["classes", "number"] + (["places"] if domain == "sequence" else [])
    return {
        "domain": domain,
        "symbols": domain == "sequence" and draw(st.booleans()),
        "parts": draw(st.lists(parts(domain), min_size=1, max_size=3)),
        "task": draw(st.sampled_from(tasks)),
        "head": draw(st.sampled_from(["mean", "flat"])),
        "penalty": draw(st.sampled_from(PENALTIES)),
        "smooth": draw(st.booleans()),
        "two_outputs": draw(st.booleans()),
        "wrapper": draw(st.sampled_from(["", "", "parallel", "sequential"])),
        "n": draw(st.integers(9, 40)),
        "seed": draw(st.integers(0, 9999)),
    }


@st.composite
def planes(draw: st.DrawFn, n: int = 2) -> list[str]:
    """Draw the options of n x n points of a random plane, and how they are evaluated."""
    ends = [draw(st.integers(-12, -1)) / 10, draw(st.integers(1, 12)) / 10]
    other = draw(st.integers(1, 9)) / 10
    return [
        f"--x={ends[0]}:{ends[1]}:{n}",
        f"--y={other}:{other + 0.3}:{n}",
        f"--seed={draw(st.integers(0, 99))}",
        f"--normalize={draw(st.sampled_from(['filter', 'layer', 'weight']))}",
        f"--ignore={draw(st.sampled_from(['bias,bn', 'none']))}",
        f"--batch={draw(st.sampled_from([4, 7, 64]))}",
    ]


@st.composite
def rescalable(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a network whose first part is a map before a batch-norm that has its statistics."""
    given = draw(networks())
    domain = given["domain"]
    norms = ["batch"] if domain == "sequence" else list(BATCH_NORMS[domain])
    maps = [kind for kind in MAPS[domain] if kind not in NOT_RESCALABLE]
    first = draw(chains(domain, maps, norms, before=st.just(False)))
    return given | {"parts": [first, *given["parts"]], "penalty": ""}


def settings(n: int) -> hypothesis.settings:
    """Return settings that draw n examples, none of which is tried again smaller."""
    return hypothesis.settings(
        max_examples=n,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )


def drawn(n: int, seed: int) -> list[RandomNetwork]:
    """Return n random networks, the same ones every time."""
    cases = []

    @hypothesis.seed(seed)
    @settings(n)
    @hypothesis.given(networks(), planes(3))
    def one(given: dict[str, Any], options: list[str]) -> None:
        cases.append(random_network(given, options))

    one()
    return cases
