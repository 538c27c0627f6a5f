"""What each direction of a plane is asked to be. Imported before torch."""

from __future__ import annotations

import argparse
from dataclasses import replace

from landscape_mpi.engine.direction_kind import AXES, DirectionKind
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.request import PlaneRequest, SurfaceRequest
from landscape_mpi.options import file_path, seed_number

LETTERS = {"alpha": "x", "beta": "y"}
KINDS = "random, random:SEED, to:CHECKPOINT, file:FILE, file:FILE:2, gradient or same"
DRAWN, SCALED = {"random"}, {"random", "gradient"}  # kinds that --seed and --normalize are about
CHOSEN = SCALED | {"to"}  # those that --ignore and --only are about


def direction_kind(text: str) -> DirectionKind:
    """Return the kind of direction that a word of the command line names.

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
    """Return what the direction along each axis is asked to be.

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
            "--x-direction same: is for --y-direction, which is then what alpha is. Name a kind "
            "of its own for alpha."
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
                f"--{_dashed(second)}: says what a direction of the plane is, and so does "
                f"--{_dashed(first)} {getattr(plane, first)}. Leave one of the two out."
            )
    if plane.to_y is not None and plane.to is None and plane.x_direction is None:
        raise InputError(
            f"--to-y {plane.to_y}: is the second solution to go to, and --to names no first. "
            f"Pass --to for a line, and both for a plane through three solutions."
        )


def _check_line(plane: PlaneRequest) -> None:
    if plane.to_y is not None:
        raise InputError(
            f"--to-y {plane.to_y}: lies at beta = 1, and without --y there is only a line. Pass "
            f"--y, for example --y=-0.5:1.5:41."
        )
    for name in ("y_direction", "y_only"):
        if getattr(plane, name) is not None:
            raise InputError(
                f"--{_dashed(name)}: is about the direction along beta, and without --y there is "
                f"only a line. Pass --y, for example --y=-1:1:41."
            )
    if plane.orthogonal:
        raise InputError(
            "--orthogonal: turns the direction along beta, and without --y there is none. Leave "
            "it out, or pass --y."
        )


def _check_repeats(asked: SurfaceRequest, *, is_line: bool) -> None:
    """Check that what is repeated is a line along a random direction, and nothing beside it.

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
                f"--repeats {plane.repeats}: are lines along random directions, one after the "
                f"other from --seed on, and {name} asks for something else beside them. Leave one "
                f"of the two out."
            )


def _check_shaping(plane: PlaneRequest, kinds: dict[str, DirectionKind]) -> None:
    """Check that what shapes directions has some to shape.

    Raises:
        InputError: If it has none.
    """
    names = {kind.name for kind in kinds.values()}
    known = ", ".join(dict.fromkeys(k.words for k in kinds.values() if k.name != "none"))
    about = {"seed": DRAWN, "normalize": SCALED, "ignore": CHOSEN, "only": CHOSEN}
    for name, shaped in about.items():
        if getattr(plane, name) is not None and not names & shaped:
            raise InputError(
                f"--{name}: shapes directions that are {' or '.join(sorted(shaped))}, and those "
                f"of this plane are: {known}. Leave it out."
            )
    for axis, kind in kinds.items():
        if kind.only is not None and kind.name not in CHOSEN:
            raise InputError(
                f"--{LETTERS[axis]}-only: chooses what a direction that is made here moves, and "
                f"that along {axis} is taken from {kind.words}. Leave it out."
            )


def _dashed(name: str) -> str:
    return name.replace("_", "-")
