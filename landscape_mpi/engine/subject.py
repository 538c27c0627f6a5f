"""The subject of an evaluation on every rank: a network with samples and a loss, or a problem."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from landscape_mpi.engine.losses import LossChoice
from landscape_mpi.engine.network_source import NetworkSource
from landscape_mpi.engine.quantities.quantity import find_quantity
from landscape_mpi.store import schema
from landscape_mpi.store.schema import Field
from landscape_mpi.zoo.dataset import NOUNS

ERRORS = {None: "no error beside it", "largest output": "error: another output is the largest"}

CROSS_ENTROPY = "cross_entropy"  # value of --loss
ALL_WRONG = 100.0  # percent: the error if every answer is wrong
NO_UNIT = "1"  # unit of the loss of a problem that names none


@dataclass(frozen=True)
class Subject(ABC):
    """The subject of an evaluation: a network with samples and a loss, or a problem."""

    n_samples: dict[str, int]  # things that ranks share, by split, in the order of evaluation
    also: tuple[str, ...] = field(default=(), kw_only=True)  # names in registry.QUANTITIES

    @property
    @abstractmethod
    def model(self) -> str:
        """Return the name of the network."""

    @property
    @abstractmethod
    def option(self) -> str:
        """Return the option that named the network, as the beginning of a message."""

    @property
    @abstractmethod
    def plain_way_out(self) -> str:
        """Return the options that evaluate as torch does, if the evaluation of a run goes wrong."""

    @property
    def sizes(self) -> str:
        """Return the number of samples or batches of each split."""
        return " + ".join(f"{n:,} {name}" for name, n in self.n_samples.items())

    @abstractmethod
    def too_large_words(self, batch: int, problem: str) -> str:
        """Return the message for a batch that does not fit into the memory of the device.

        Args:
            batch: Samples of a batch, or batches that are computed at a time.
            problem: Message of the device.
        """

    @property
    @abstractmethod
    def noun(self) -> str:
        """Return a noun for the things that ranks share out, e.g. ``images``."""

    @property
    @abstractmethod
    def loss_fields(self) -> tuple[Field, ...]:
        """Return the datasets for the losses of a point."""

    @property
    @abstractmethod
    def guesses(self) -> tuple[float, ...]:
        """Return the values of a split for a network that knows nothing, 0 where unknown."""

    @property
    @abstractmethod
    def guessed(self) -> float:
        """Return how many targets of one sample or batch may be as bad as a guess."""

    @property
    @abstractmethod
    def loss_units(self) -> str:
        """Return the unit of the loss."""

    @property
    @abstractmethod
    def attributes(self) -> dict[str, object]:
        """Return the attributes of a file that describe the subject."""

    @property
    def limited(self) -> str:
        """Return a noun for the things that a limit counts."""
        return "samples"

    def computed_in(self, precision: str) -> str:
        """Return the type of the computation, in words.

        Args:
            precision: Precision of the setting.
        """
        return precision

    @abstractmethod
    def what_changed(self, before: Sequence[float], now: Sequence[float]) -> str:
        """Describe the change since the file was started, as the end of a sentence.

        Args:
            before: Chosen.center_outputs when the file was started.
            now: Chosen.center_outputs of this run.
        """

    @property
    @abstractmethod
    def loss_words(self) -> str:
        """Return the loss, in words."""

    @property
    @abstractmethod
    def lines(self) -> tuple[str, ...]:
        """Describe the subject for the log, line by line."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """Return the datasets of the values of a point, in their order."""
        return (*self.loss_fields, *self._fields_beside())

    def _fields_beside(self) -> Iterator[Field]:
        for name in self.also:
            quantity = find_quantity(name)
            units = self.loss_units if quantity.units is None else quantity.units
            for split in self.n_samples:
                words = f"{quantity.words}; {_in_words(split)}"
                yield Field(f"{split}_{name}", "f8", units, words, math.nan)

    @property
    def quantities(self) -> tuple[str, ...]:
        """Return the names of the values of a point."""
        return tuple(item.name for item in self.fields)


@dataclass(frozen=True)
class NetworkSubject(Subject):
    """A network, its samples and a loss of outputs and targets."""

    source: NetworkSource
    loss: LossChoice
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def model(self) -> str:
        """Return the name of the network."""
        return self.source.model

    @property
    def option(self) -> str:
        """Return the option that named the network."""
        return "--model"

    @property
    def plain_way_out(self) -> str:
        """Return the options that evaluate as torch does."""
        return (
            "Pass --precision fp32, --compile off and --points-at-once 1, or start over with "
            "--fresh."
        )

    def too_large_words(self, batch: int, problem: str) -> str:
        """Return the message for a batch that does not fit."""
        if batch == 1:
            return (
                f"--model: a single sample of the {self.noun} does not fit into the memory of the "
                f"device ({problem}). Use devices with more memory."
            )
        return (
            f"--batch: {batch} samples per pass do not fit into the memory of the device "
            f"({problem}). Pass a smaller --batch; a surface started with this batch needs "
            "--fresh, or devices with more memory."
        )

    @property
    def noun(self) -> str:
        """Return a noun for the samples, e.g. ``images``."""
        return NOUNS[self.source.sample.kind]

    @property
    def is_of_classes(self) -> bool:
        """Say whether the loss is the cross-entropy of classes, and not a user's function."""
        return self.loss.name == CROSS_ENTROPY

    @property
    def loss_units(self) -> str:
        """Return the unit of the loss."""
        return self.loss.units

    @property
    def loss_fields(self) -> tuple[Field, ...]:
        """Return the datasets of loss and error of each split."""
        names = schema.quantities_of(tuple(self.n_samples), error=self.loss.error is not None)
        known = (schema.QUANTITIES[name] for name in names)
        units = self.loss.units
        return tuple(replace(f, units=units) if f.units == "nat" else f for f in known)

    @property
    def guesses(self) -> tuple[float, ...]:
        """Return loss and error of a split for a network that knows nothing, 0 where unknown."""
        n_classes = self.source.sample.n_classes if self.is_of_classes else 2
        loss = math.log(n_classes) if self.loss_units == "nat" else 0.0
        return (loss, ALL_WRONG) if self.loss.error is not None else (loss,)

    @property
    def guessed(self) -> float:
        """Return infinity: all targets of a sample may be as bad as a guess."""
        return math.inf

    @property
    def attributes(self) -> dict[str, object]:
        """Return the attributes of a file that describe the subject."""
        return {
            **self.loss.attributes,
            **({schema.N_CLASSES: self.source.sample.n_classes} if self.is_of_classes else {}),
            "splits": ",".join(self.n_samples),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def what_changed(self, before: Sequence[float], now: Sequence[float]) -> str:
        """Describe the change since the file was started, as the end of a sentence."""
        return (
            f"a network whose outputs for the first sample add up to {before[0]:.6g} at the "
            f"center, but now to {now[0]:.6g}, with the same weights. Something that the state "
            f"dict does not hold has changed: the code of {self.model}, or random numbers that it "
            "draws"
        )

    @property
    def loss_words(self) -> str:
        """Describe the loss, and the things over which its mean is taken."""
        return f"{self.loss.name}, {self.loss.words}"

    @property
    def lines(self) -> tuple[str, ...]:
        """Describe the normalisation of pixels, and the loss if it is not the usual one."""
        lines, loss = [], self.loss
        if self.mean:  # images
            lines.append(f"pixels: mean {_listed(self.mean)}, std {_listed(self.std)}")
        plain = loss.class_weights is None and loss.ignored is None and not loss.label_smoothing
        if loss.name != "cross_entropy" or not plain:
            error = ERRORS.get(loss.error, "error: wrong sign")
            lines.append(f"loss: {loss.name}; {error}; {loss.words}")
        return tuple(lines)


@dataclass(frozen=True)
class ProblemSubject(Subject):
    """A problem: batches, and functions of the network and a batch."""

    name: str  # package.module:function, or live
    network: str  # class of the network
    functions: tuple[str, ...]  # names of the loss and the metrics
    units: str  # unit of the loss
    seed: int
    dtype: str  # type of the conversion, empty for none
    loss: str  # name of the loss in the user's code
    types: str  # floating-point types of the network
    counts: str  # samples or batches, which a limit counts
    extra: Mapping[str, object] = field(default_factory=dict, compare=False)  # see tensors.Extra
    metric_units: tuple[str, ...] = ()  # units of the metrics, in their order
    n_classes: int | None = None  # known if the loss is the plain cross-entropy of classes

    @property
    def model(self) -> str:
        """Return the class of the network, and its origin."""
        return f"{self.network} of {self.name}"

    @property
    def option(self) -> str:
        """Return the beginning of messages about the problem."""
        return "Problem"

    @property
    def plain_way_out(self) -> str:
        """Return the options that choose the evaluation once more."""
        return "Start over with --fresh."

    def too_large_words(self, batch: int, problem: str) -> str:
        """Return the message for a batch that does not fit."""
        return (
            f"Problem: a batch does not fit into the memory of the device ({problem}). Make "
            f"smaller batches, or use devices with more memory."
        )

    @property
    def noun(self) -> str:
        """Return a noun for the things that ranks share out."""
        return "batches"

    @property
    def loss_units(self) -> str:
        """Return the unit of the loss: nat for a cross-entropy, unless the problem names one."""
        return "nat" if self.n_classes is not None and self.units == NO_UNIT else self.units

    @property
    def loss_fields(self) -> tuple[Field, ...]:
        """Return the datasets of loss and metrics of each split."""
        return tuple(
            Field(
                f"{split}_{name}",
                "f8",
                units,
                f"{'mean loss' if name == 'loss' else name} over the {_in_words(split)}",
                math.nan,
            )
            for split in self.n_samples
            for name, units in zip(
                self.functions, (self.loss_units, *self.metric_units), strict=True
            )
        )

    @property
    def guesses(self) -> tuple[float, ...]:
        """Return the values of a guess, 0 where they are not known beforehand."""
        loss = math.log(self.n_classes or 2) if self.loss_units == "nat" else 0.0
        return (loss, *(ALL_WRONG if units == "percent" else 0.0 for units in self.metric_units))

    @property
    def guessed(self) -> float:
        """Return 1: a batch has many targets, and one of them may be as bad as a guess."""
        return 1.0

    @property
    def attributes(self) -> dict[str, object]:
        """Return the attributes of a file that describe the subject."""
        return {
            "model": self.network,
            "data": self.name,
            "problem": self.name,
            "loss": self.loss,
            "metrics": ",".join(self.functions[1:]) or "none",
            "splits": ",".join(self.n_samples),
            "problem_seed": self.seed,
            "problem_dtype": self.dtype,
            "problem_units": self.units,
            **({} if self.n_classes is None else {schema.N_CLASSES: self.n_classes}),
        }

    @property
    def limited(self) -> str:
        """Return a noun for the things that a limit counts."""
        return self.counts

    def computed_in(self, precision: str) -> str:
        """Return the types of the network, in which a problem computes."""
        return self.types

    def what_changed(self, before: Sequence[float], now: Sequence[float]) -> str:
        """Describe the change since the file was started, as the end of a sentence."""
        changes = [
            f"whose {name} on the first batch is {old:.6g} at the center, and now {new:.6g}"
            for name, old, new in zip(self.functions, before, now, strict=False)
            if not math.isclose(old, new, rel_tol=1e-6)
        ]
        return (
            f"a problem {changes[0] if changes else 'of other functions'}, with the same weights. "
            f"Something that is in no file has changed: the function of the loss or of a metric, "
            f"the code of {self.model}, or random numbers that it draws"
        )

    @property
    def loss_words(self) -> str:
        """Describe the loss, and the things over which its mean is taken."""
        return f"{self.loss}, the sum over all batches divided by the sum of their counts"

    @property
    def lines(self) -> tuple[str, ...]:
        """Describe the computation, and the seed of its random numbers."""
        metrics = f"; metrics: {', '.join(self.functions[1:])}" if len(self.functions) > 1 else ""
        return (f"loss: {self.loss_words}{metrics}; random numbers of batches from {self.seed}",)


def _in_words(split: str) -> str:
    return {"train": "training set", "test": "test set"}.get(split, split)


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
