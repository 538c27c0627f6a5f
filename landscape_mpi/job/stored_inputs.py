"""The network, weights and data of a surface file, read again: its names stand in the file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.job.inputs import Inputs, read_inputs
from landscape_mpi.store.stored_surface import StoredSurface


def read_stored_inputs(options: argparse.Namespace, stored: StoredSurface) -> Inputs:
    """Read what a surface was computed from. Local; call it on one rank.

    Args:
        options: ``checkpoint`` and ``data_dir``, for what has moved, ``trust_checkpoint`` and
            ``download``.
        stored: What the file says.

    Raises:
        InputError: If it is no longer what it was.
        MissingInputError: If it is no longer where it was.
    """
    named, limit = stored.text("provenance", "checkpoint"), stored.text("/", "limit")
    checkpoint = options.checkpoint or (None if named == "none" else Path(named))
    data_dir = stored.text("provenance", "data_dir")
    asked = argparse.Namespace(
        model=stored.text("/", "model"),
        checkpoint=checkpoint,
        trust_checkpoint=options.trust_checkpoint,
        data=stored.text("/", "data"),
        data_dir=options.data_dir or (None if data_dir == "none" else Path(data_dir)),
        download=options.download,
        mean=_numbers(stored, "mean"),
        std=_numbers(stored, "std"),
        limit=None if limit == "none" else int(limit),
        splits=tuple(stored.text("/", "splits").split(",")),
        loss=stored.text("/", "loss"),
    )
    try:
        inputs = read_inputs(asked)
    except MissingInputError as problem:
        raise MissingInputError(
            f"{problem} {stored.path} names it so; pass --checkpoint or --data-dir where files "
            f"have moved."
        ) from problem
    _check_digests(stored, inputs)
    return inputs


def first_samples(inputs: Inputs, n: int, path: Path) -> Inputs:
    """Return inputs with the first training samples, and no other split.

    Args:
        inputs: With a training split.
        n: How many.
        path: The surface file, for the message.

    Raises:
        InputError: If there are fewer.
    """
    if n > inputs.n_training:
        raise InputError(
            f"--limit: asks for the first {n} training samples, {path} was computed with "
            f"{inputs.n_training}. Pass at most that."
        )
    splits = {"train": inputs.dataset.splits["train"].first(n)}
    return replace(inputs, dataset=replace(inputs.dataset, splits=splits))


def _numbers(stored: StoredSurface, name: str) -> tuple[float, ...] | None:
    values = np.atleast_1d(stored.attributes["/"].get(name, ()))
    return tuple(float(value) for value in values) or None


def _check_digests(stored: StoredSurface, inputs: Inputs) -> None:
    for name, what, option in (
        ("weights_sha256", "weights", "--checkpoint"),
        ("data_sha256", "data", "--data-dir"),
    ):
        known, found = stored.text("provenance", name), inputs.sha256[name]
        if known != found:
            raise InputError(
                f"{stored.path}: was computed with {what} of SHA-256 {known[:16]}, those found now "
                f"have {found[:16]}. Numbers of another network or other data would not belong "
                f"to this surface: pass {option} with what it was computed from."
            )
