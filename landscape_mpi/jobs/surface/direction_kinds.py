"""Parse and check the kinds of a plane's directions. This module is imported before torch."""

from __future__ import annotations

import argparse
from dataclasses import replace

from landscape_mpi.engine.direction_kind import AXES, DirectionKind
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.request import PlaneRequest, SurfaceRequest
from landscape_mpi.options import file_path, seed_number

LETTERS = {"alpha": "x", "beta": "y"}
KINDS = "random, random:SEED, to:CHECKPOINT, file:FILE, file:FILE:2, gradient or same"
DRAWN, SCALED = {"random"}, {"random", "gradient"}  # kinds to which --seed and --normalize apply
CHOSEN = SCALED | {"to"}  # kinds to which --ignore and --only apply


def direction_kind(text: str) -> DirectionKind:
    """Parse the kind of a direction from a word of the command line.

    Raises:
        ArgumentTypeError: If it names none.
    """
    name, _, rest = text.partition(":")
    if name == "random" and (rest or text == name):
        return DirectionKind("random", seed=seed_number(rest) if rest else None)
    if text in {"gradient", "same"}:
        return DirectionKind(text)
    if name == "to" and rest:
        return DirectionKind("to", file=file_path(rest))
    if name == "file" and rest:
        path, _, axis = rest.rpartition(":")
        if path and (axis in AXES or axis.isdecimal()):
            axis = AXES[int(axis)] if axis in {"0", "1"} else axis
            return DirectionKind("file", file=file_path(path), axis=axis)
        return DirectionKind("file", file=file_path(rest))
    raise argparse.ArgumentTypeError(f"{text!r} is not one of {KINDS}.")


def kinds_of(asked: SurfaceRequest, *, is_line: bool) -> dict[str, DirectionKind]:
    """Return the requested kind of direction of each axis.

    Args:
        asked: The surface.
        is_line: Whether nothing lies along beta.

    Raises:
        InputError: If the options contradict each other.
    """
    plane = asked.plane
    _check_one_says_it(plane)
    if is_line:
        _check_line(plane)
    if plane.repeats is not None:
        _check_repeats(asked, is_line=is_line)
    found = {axis: _kind_of(plane, axis, is_line=is_line) for axis in AXES}
    if found["alpha"].name == "same":
        raise InputError(
            "--x-direction same: only --y-direction can be the same as the other direction. Name "
            "another kind for alpha."
        )
    if found["beta"].name == "same":
        first, second = found["alpha"], found["beta"]
        found["beta"] = replace(first, option=second.option, only=second.only)
    _check_shaping(plane, found)
    return found


def _kind_of(plane: PlaneRequest, axis: str, *, is_line: bool) -> DirectionKind:
    letter = LETTERS[axis]
    if plane.directions is not None:
        return DirectionKind("file", "--directions", plane.directions, axis=axis)
    if axis == "beta" and is_line:
        return DirectionKind("none")
    to = {"alpha": plane.to, "beta": plane.to_y}[axis]
    kind: DirectionKind = getattr(plane, f"{letter}_direction") or DirectionKind("random")
    option = f"--{letter}-direction"
    if to is not None:
        kind, option = DirectionKind("to", file=to), {"alpha": "--to", "beta": "--to-y"}[axis]
    only = getattr(plane, f"{letter}_only")
    return replace(kind, option=option, axis=kind.axis or axis, only=only)


def _check_one_says_it(plane: PlaneRequest) -> None:
    rivals = [("to", "x_direction"), ("to_y", "y_direction")]
    names = ("to", "to_y", "x_direction", "y_direction", "x_only", "y_only")
    rivals += [("directions", name) for name in names]
    for first, second in rivals:
        if getattr(plane, first) is not None and getattr(plane, second) is not None:
            raise InputError(
                f"--{_dashed(second)}: defines a direction of the plane, and so does "
                f"--{_dashed(first)} {getattr(plane, first)}. Leave out one of the two."
            )
    if plane.to_y is not None and plane.to is None and plane.x_direction is None:
        raise InputError(
            f"--to-y {plane.to_y}: names the second solution, but --to names no first one. Pass "
            "--to for a line, or both for a plane through three solutions."
        )


def _check_line(plane: PlaneRequest) -> None:
    if plane.to_y is not None:
        raise InputError(
            f"--to-y {plane.to_y}: lies at beta = 1, but without --y there is only a line. Pass "
            "--y, for example --y=-0.5:1.5:41."
        )
    for name in ("y_direction", "y_only"):
        if getattr(plane, name) is not None:
            raise InputError(
                f"--{_dashed(name)}: applies to the direction of beta, but without --y there is "
                "only a line. Pass --y, for example --y=-1:1:41."
            )
    if plane.orthogonal:
        raise InputError(
            "--orthogonal changes the direction of beta, but without --y there is none. Leave it "
            "out, or pass --y."
        )


def _check_repeats(asked: SurfaceRequest, *, is_line: bool) -> None:
    """Check that --repeats repeats only a line along a random direction.

    Raises:
        InputError: If it is not.
    """
    plane = asked.plane
    kind = plane.x_direction
    others = {
        "--y": not is_line,
        "--directions": plane.directions is not None,
        "--to": plane.to is not None,
        "--x-direction": kind is not None and (kind.name != "random" or kind.seed is not None),
        "--weight-decay": asked.weight_decay is not None,
        "--save-directions": plane.save_directions,
    }
    for name, is_asked in others.items():
        if is_asked:
            raise InputError(
                f"--repeats {plane.repeats}: computes lines along random directions, with the "
                f"seeds from --seed on, and cannot be combined with {name}. Leave out one of the "
                "two."
            )


def _check_shaping(plane: PlaneRequest, kinds: dict[str, DirectionKind]) -> None:
    """Check that options that shape directions have directions to shape.

    Raises:
        InputError: If it has none.
    """
    names = {kind.name for kind in kinds.values()}
    known = ", ".join(dict.fromkeys(k.words for k in kinds.values() if k.name != "none"))
    about = {"seed": DRAWN, "normalize": SCALED, "ignore": CHOSEN, "only": CHOSEN}
    for name, shaped in about.items():
        if getattr(plane, name) is not None and not names & shaped:
            raise InputError(
                f"--{name}: shapes directions that are {' or '.join(sorted(shaped))}, but those "
                f"of this plane are: {known}. Leave it out."
            )
    for axis, kind in kinds.items():
        if kind.only is not None and kind.name not in CHOSEN:
            raise InputError(
                f"--{LETTERS[axis]}-only: chooses the parameters of a direction that is made "
                f"here, but the direction of {axis} is taken from {kind.words}. Leave it out."
            )


def _dashed(name: str) -> str:
    return name.replace("_", "-")
