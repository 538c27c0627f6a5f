"""Networks in files, as users write them: the folder networks/ has the files, and CASES the rows.

Oracle: the unmodified network. Its weights are loaded in training mode, and it is called in
evaluation mode, on all samples at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_loop import built
from torch import nn
from torch.nn import functional

from cases.case import by_name, found
from cases.model_case import ModelCase

PACKAGE = "cases.networks"


def squared(outputs, targets):
    return (outputs.reshape(targets.shape) - targets).square()


LOSSES = {"cross_entropy": functional.cross_entropy, "mse": squared}
ROWS, IMAGES, COLORS = "samples:rows", "samples:images", "samples:colors"
SEQUENCES, TOKENS, NUMBERS = "samples:sequences", "samples:tokens", "samples:numbers"
PENALISED = "weights_read:penalised_loss"


@dataclass(frozen=True, kw_only=True)
class NetworkFile(ModelCase):
    """A network of the folder, with its own weights or those of a checkpoint."""

    plain: str  # the network that the oracle takes: it returns one tensor
    trained: bool  # whether its weights come from a checkpoint
    classes_last: bool  # whether classes are the last axis of the outputs, with several targets
    cause: str = ""  # words of the message, if the program refuses the network
    library: str = ""  # library that the network needs

    @property
    def file(self) -> str:
        """Return the name of the file without its ending."""
        return self.network.removeprefix(f"{PACKAGE}.").partition(":")[0]

    def source(self) -> list[str]:
        return [*super().source(), "--batch=16"]

    def build(self) -> nn.Module:
        return found(self.plain)()

    def losses(self, outputs, targets):
        outputs = outputs.movedim(-1, 1) if self.classes_last else outputs
        return (LOSSES.get(self.loss) or found(self.loss))(outputs, targets)

    def words(self, out: Path, *more: str, **options: Any) -> list[str]:
        """Return the command; the checkpoint is trained.pt beside the surface."""
        if self.library:
            pytest.importorskip(self.library, reason=f"{self.library} is not installed")
        if self.trained:
            torch.save(self.state, out.with_name("trained.pt"))
            more = (f"--checkpoint={out.with_name('trained.pt')}", *more)
        return super().words(out, *more, **options)

    def center(self) -> nn.Module:
        return built(self.build, self.samples()[0], self.state if self.trained else None)

    @cached_property
    def state(self) -> dict[str, Any]:
        """Return the state of the trained network."""
        return self.after_steps().state_dict()

    def after_steps(self) -> nn.Module:
        """Return the network after some steps, as a training loop leaves it: in training mode."""
        network, (inputs, targets) = self.build(), self.samples()
        network.train()(inputs[:16])  # gives lazy layers their shape
        optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.02)
        for _ in range(15):
            loss = self.losses(network(inputs), targets).mean()
            if not loss.requires_grad:
                return shaken(network)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return network


@torch.no_grad()
def shaken(network: nn.Module) -> nn.Module:
    """Add noise to the weights of a network that gradients do not reach."""
    draw = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    return network


def network_file(
    network: str,
    data: str = ROWS,
    loss: str = "cross_entropy",
    *,
    plain: str = "",
    trained: bool = False,
    classes_last: bool = False,
    options: tuple[str, ...] = (),
    **more: Any,
) -> NetworkFile:
    """Return a case of a function in a file of the folder, file:function."""
    return NetworkFile(
        name="-".join([network, *("trained" for _ in range(trained)), *options]),
        network=f"{PACKAGE}.{network}",
        data=f"{PACKAGE}.{data}",
        loss=loss if loss in LOSSES else f"{PACKAGE}.{loss}",
        plain=f"{PACKAGE}.{plain or network}",
        trained=trained,
        classes_last=classes_last,
        options=options,
        **more,
    )


def with_output(network: str, entry: str, plain: str = "entries:Body", *given: str, **more: Any):
    """Return a case of a network that returns several tensors, one of which makes the loss."""
    return network_file(network, *given, plain=plain, options=(f"--output={entry}",), **more)


READ_WEIGHTS = [
    *(
        network_file(f"weights_read:by_{name}", loss=PENALISED, trained=True)
        for name in ("parameters", "names", "vector", "state_dict", "modules")
    ),
    *(
        network_file(f"weights_read:{name}")
        for name in (
            *("ByState", "Called", "Flat", "Views", "Listed", "Generated", "Closed"),
            *("ByDictionary", "GradViews", "BufferOfWeight", "Transposed", "Clamped"),
            *("Temperature", "StaleView"),
        )
    ),
    network_file("weights_read:LongLetters", TOKENS),
    network_file("weights_read:Views", trained=True),
]
BRANCHES = [
    *(
        network_file(f"branches:{name}", SEQUENCES)
        for name in ("Masked", "InnerMasked", "Keywords", "MaskedByData", "Shaped")
    ),
    *(
        network_file(f"branches:{name}")
        for name in (
            *("Gated", "Deep", "Where", "ByTraining", "AnyNumber", "Differentiated"),
            *("Solved", "Longest", "Cut", "CutOrNot"),
        )
    ),
    network_file("branches:Hooked", IMAGES),
]
REPARAMETRISED = [
    *(
        network_file(f"reparametrised:{name}", trained=True)
        for name in (
            *("pruned", "pruned_with_norm", "old_weight_norm", "old_weight_norm_with_norm"),
            *("old_spectral_norm", "weight_norm", "spectral_norm", "orthogonal", "symmetric"),
        )
    ),
    network_file("reparametrised:pruned"),
    network_file("reparametrised:pruned_convolutions", IMAGES, trained=True),
    network_file("reparametrised:standardised", IMAGES),
    network_file("reparametrised:binary"),
]
NORMALISED = [
    *(
        network_file(f"normalised:{name}", SEQUENCES)
        for name in ("linear_over_tokens", "linear_over_as_many_tokens")
    ),
    *(
        network_file(f"normalised:{name}", IMAGES)
        for name in (
            *("Twice", "OneNorm", "BothRead", "WeightReadToo", "ByFunction", "frozen"),
            *("norm_and_activation", "synchronised", "channels", "lengths"),
        )
    ),
    network_file("normalised:plain", IMAGES, options=("--ignore=none",)),
    network_file("normalised:volumes", "samples:volumes"),
    network_file("normalised:instance_with_statistics", IMAGES, trained=True),
]
SET_UP = [
    *(
        network_file(f"set_up:{name}", trained=trained)
        for name in (
            *("low_rank", "fused", "Copies", "copies_by_hook", "Transposing", "Scaled"),
            *("FusedByHook", "FusedByLoading", "Versioned"),
        )
        for trained in (False, True)
    ),
    network_file("set_up:low_rank", trained=True, options=("--only=trainable",)),
    network_file("set_up:Deployed", IMAGES, trained=True),
    network_file("set_up:Renames", trained=True),
    network_file("set_up:Grows", trained=True),
    network_file("set_up:versioned_part", trained=True),
    *(
        network_file(f"set_up:{name}", IMAGES, trained=trained)
        for name in ("lazy_linear", "lazy_all")
        for trained in (False, True)
    ),
]
LAYOUTS = [
    *(
        network_file(f"layouts:{name}", COLORS)
        for name in ("Viewed", "Shuffled", "Strided", "AsksStrides", "AsksFormat", "AsksWeights")
    ),
    network_file("layouts:InPlace", COLORS),
    network_file("layouts:InPlaceRows"),
]
KEPT = [
    *(
        network_file(f"kept:{name}", IMAGES)
        for name in ("InAttribute", "InClosure", "InModule", "InLayer", "InList")
    ),
    *(network_file(f"kept:{name}", SEQUENCES) for name in ("HiddenReset", "Cached", "encoder")),
]
SHAPES = [
    network_file("shapes:classes_second", "shapes:tagged"),
    network_file("shapes:classes_last", "shapes:tagged", classes_last=True),
    network_file("shapes:as_many_second", "shapes:tagged_as_many", options=("--class-axis=1",)),
    network_file(
        "shapes:as_many_last",
        "shapes:tagged_as_many",
        options=("--class-axis=-1",),
        classes_last=True,
    ),
    network_file("shapes:segmenter", "shapes:segmented"),
    network_file("shapes:Protein", "samples:letters"),
    network_file("shapes:Packed", TOKENS),
    network_file("shapes:Chosen", "shapes:chosen_rows"),
    network_file("shapes:squeezed", NUMBERS, "mse"),
]
TARGETS = [
    network_file("targets:linear", "targets:rows_in_part"),
    network_file("targets:density", NUMBERS, "targets:likelihood", trained=True),
    network_file("targets:tied_by_data", "samples:codes", "mse"),
    network_file("targets:copied", "samples:codes", "mse"),
    network_file("targets:OneParameter", "targets:following", "targets:language"),
]
TYPES = [
    network_file("number_types:double", "samples:exact_numbers", "mse", trained=True),
    network_file("number_types:untrained"),
    network_file("number_types:DoubleOut"),
    network_file("number_types:Whole"),
]
WRAPPED = [
    *(
        network_file(f"wrapped:{name}", trained=True)
        for name in ("as_model", "parallel", "compiled", "averaged", "swapped")
    ),
    *(
        network_file(f"wrapped:{name}")
        for name in ("scripted", "scripted_part", "traced", "checkpointed")
    ),
]
DRAWN = [network_file(f"drawn:{name}", NUMBERS, "mse") for name in ("Buffered", "Idle")]
ENTRIES = [
    *(with_output(f"entries:{name}", "1") for name in ("Pair", "Listed", "NamedPair")),
    *(with_output(f"entries:{name}", "1") for name in ("parallel", "compiled")),
    *(with_output(f"entries:{name}", "logits") for name in ("Named", "NamedPair", "Kept")),
    *(with_output(f"entries:{name}", "logits") for name in ("AsObject", "AsModelOutput")),
    with_output("entries:AsModelOutput", "0"),
    with_output("entries:Pair", "1", trained=True),
    with_output("entries:Convolutions", "out", "entries:PlainConvolutions", IMAGES),
    *(
        with_output(
            "entries:classifier", entry, "entries:plain_classifier", TOKENS, library="transformers"
        )
        for entry in ("logits", "0")
    ),
    with_output(
        "entries:language_model",
        "logits",
        "entries:plain_language_model",
        "targets:following",
        library="transformers",
        classes_last=True,
    ),
]
CASES = by_name(
    [
        *(*READ_WEIGHTS, *BRANCHES, *REPARAMETRISED, *NORMALISED, *SET_UP, *LAYOUTS, *KEPT),
        *(*SHAPES, *TARGETS, *TYPES, *WRAPPED, *DRAWN, *ENTRIES),
    ]
)

# The program may compute these or refuse them, but no number may be wrong.
RIGHT_OR_REFUSED = [
    network_file("set_up:MadeInForward", cause="--model"),
    network_file("number_types:Mixed", NUMBERS, "mse", cause="--model"),
]
REFUSED = [
    network_file("normalised:without_statistics", IMAGES, cause="without running statistics"),
    network_file("normalised:rows_without_statistics", cause="without running statistics"),
    network_file("normalised:kept_in_training", IMAGES, cause="training mode"),
    network_file("kept:CachedWeights", cause="weights that the network has"),
    network_file("kept:HiddenKept", SEQUENCES, cause="changing state"),
    network_file("set_up:MadeInForward", trained=True, cause="head"),
    *(
        network_file(f"drawn:{name}", NUMBERS, "mse", cause=cause)
        for name, cause in (
            ("by_nobody", "random"),
            ("by_clock", "random"),
            ("Counting", "changing state"),
            ("Dropping", "dropout"),
            ("Noisy", "second time"),
            ("NoisyByNumpy", "second time"),
            ("Seldom", "second time"),
            ("Running", "changing state"),
            ("Centered", "other samples of its batch"),
        )
    ),
    network_file("branches:ByGradients", cause="torch.no_grad()"),
    network_file("branches:EarlyExit", cause="depend on the other samples of its batch"),
    network_file("shapes:as_many_second", "shapes:tagged_as_many", cause="--class-axis"),
    network_file("shapes:as_many_last", "shapes:tagged_as_many", cause="--class-axis"),
    network_file("shapes:Total", cause="returns [] for 3 rows"),
    network_file("shapes:SqueezedAll", cause="squeeze(-1)"),
    network_file("shapes:Pair", cause="not a tensor"),
    network_file("shapes:Named", cause="logits"),
    network_file("shapes:ByKeyword", cause="write a problem: --problem"),
    network_file("targets:linear", "targets:rows_without", cause="--ignore-index"),
    network_file("targets:linear", "targets:one_hot", cause="targets.argmax(1)"),
    *(
        network_file(f"number_types:{name}", cause=cause)
        for name, cause in (
            ("HalfInside", "16-bit weights become float32"),
            ("Complex", "complex"),
            ("NoParameters", "no parameters"),
            ("meta", "meta"),
            ("ToCuda", "cuda"),
            ("on_cuda", "cuda"),
        )
    ),
]
