"""The request for a run as plain data, made from a command line, from a file, or from Python.

Nothing below a command knows its origin. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.registry import named_path

DEFAULT_TOLERANCE = 1e-3
COMPILED = {"auto": None, "on": True, "off": False}


def flat(request: Any) -> dict[str, Any]:
    """Return all fields of a request and of its parts by name, paths as text."""
    found: dict[str, Any] = {}
    for item in fields(request):
        value = getattr(request, item.name)
        if is_dataclass(value):
            found |= flat(value)
        else:
            found[item.name] = str(value) if isinstance(value, Path) else value
    return found


@dataclass(frozen=True)
class NetworkRequest:
    """A network and the place of its weights."""

    model: str = ""  # name in the zoo, or package.module:function
    checkpoint: Path | None = None
    trust_checkpoint: bool = False  # whether pickled code in it may run
    checkpoint_key: str | None = None  # one of several sets of weights


@dataclass(frozen=True)
class DataRequest:
    """Samples, and the way they are read."""

    data: str = ""  # name in the zoo, a file, or package.module:function
    data_dir: Path | None = None
    download: bool = False
    mean: tuple[float, ...] | None = None  # of the pixels per channel; None for that of the data
    std: tuple[float, ...] | None = None
    splits: tuple[str, ...] | None = ("train",)  # None for all splits of the data
    limit: int | None = None  # training samples, None for all
    subset: str | None = None  # choice of the samples; see zoo.subset

    @property
    def limit_attributes(self) -> dict[str, object]:
        """Return the attributes of a file that identify its training samples."""
        return (
            {"limit": "none"}
            if self.limit is None
            else {
                "limit": self.limit,
                "subset": self.subset,
            }
        )


@dataclass(frozen=True)
class LossRequest:
    """A loss, and the way outputs and targets are read; None is replaced by a trial on samples."""

    loss: str = "cross_entropy"
    ignore_index: int | str | None = None  # or none
    class_axis: int | None = None
    class_weights: tuple[float, ...] | None = None
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class InputsRequest:
    """Network, data and loss, or a problem."""

    network: NetworkRequest
    data: DataRequest
    loss: LossRequest = field(default_factory=LossRequest)
    problem: ProblemSource | None = None  # replaces model, data and loss

    @property
    def center_name(self) -> str:
        """Return the origin of the weights of the center: a file, a network or a problem."""
        if self.network.checkpoint is not None:
            return str(self.network.checkpoint)
        spec = None if self.problem is None else self.problem.spec
        return self.network.model or spec or "this network"

    @property
    def files(self) -> list[Path]:
        """Return the files that are read; no output may replace them."""
        files = [self.network.checkpoint] if self.network.checkpoint else []
        if self.problem is not None:
            return files
        if path := named_path(self.data.data):
            data = Path(path).expanduser()
            files += [data, *([self.data.data_dir / data] if self.data.data_dir else [])]
        return files


@dataclass(frozen=True)
class MovedInputs:
    """The present places of the inputs of a file; None for the place that the file names."""

    checkpoint: Path | None = None
    trust_checkpoint: bool = False
    checkpoint_key: str | None = None
    data_dir: Path | None = None
    download: bool = False
    problem: ProblemSource | None = None


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of points; None for values that are measured, or taken from the file."""

    device: str = "auto"  # or cpu, cuda
    precision: str = "fp32"  # or tf32, bf16, auto
    tolerance: float | None = None  # relative deviation of a precision from fp32
    batch: int | None = None  # samples of a forward pass
    compile: str = "off"  # auto, on or off
    points_at_once: int | None = 1  # points at once, with their weights stacked
    ranks_per_point: int | None = None

    @property
    def compiled(self) -> bool | None:
        """Return whether torch.compile is used, None for the faster way."""
        return COMPILED[self.compile]

    @property
    def largest_deviation(self) -> float:
        """Return the relative deviation from fp32 beyond which a precision is refused."""
        return DEFAULT_TOLERANCE if self.tolerance is None else self.tolerance


@dataclass(frozen=True)
class Rounds:
    """The length of a round, its way into the file, and when a rank counts as hung."""

    round_seconds: float = 30.0
    stall_seconds: float = 300.0
    write: str = "auto"  # or parallel, gather


@dataclass(frozen=True)
class FileRequest:
    """The file of the results."""

    out: Path
    fresh: bool = False  # whether to start over instead of resuming the file
    repair: bool = False  # whether to compute damaged points again
    accept_device: bool = False  # whether to resume a file that other models of devices began

    @property
    def resumes(self) -> bool:
        """Say whether there is a file to resume."""
        return self.out.exists() and not self.fresh
