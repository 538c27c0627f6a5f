"""The network, weights and data of a surface file, read again by the names in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from landscape_mpi.engine.inputs import Inputs, read_inputs
from landscape_mpi.engine.request import (
    DataRequest,
    InputsRequest,
    LossRequest,
    MovedInputs,
    NetworkRequest,
)
from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.options import ignored_number, numbers
from landscape_mpi.store.resume import UNSAID
from landscape_mpi.store.stored_surface import StoredSurface
from landscape_mpi.zoo.networks import check_counted
from landscape_mpi.zoo.subset import take

WAYS = {
    "weights_sha256": "pass the original checkpoint with --checkpoint",
    "data_sha256": "pass the folder of the original data with --data-dir",
}


def read_stored_inputs(moved: MovedInputs, stored: StoredSurface) -> Inputs:
    """Read the inputs of a surface again. Local; call it on one rank.

    Args:
        moved: Present places of the inputs.
        stored: The stored surface, not one of a problem.

    Raises:
        InputError: If an input has changed.
        MissingInputError: If an input is missing.
    """
    asked = stored_request(moved, stored)
    try:
        inputs = read_inputs(asked)
    except MissingInputError as problem:
        raise MissingInputError(
            f"{problem} {stored.path} records this name. If the files have moved, pass "
            f"--checkpoint or --data-dir."
        ) from problem
    check_digests(stored, inputs.sha256, WAYS)
    return inputs


def stored_request(moved: MovedInputs, stored: StoredSurface) -> InputsRequest:
    """Return the request with which a surface was started.

    Args:
        moved: Present places of the inputs.
        stored: The stored surface.
    """
    root = partial(stored.text, "/")
    data_dir, limit = stored.text("provenance", "data_dir"), root("limit")
    return InputsRequest(
        stored_network(moved, stored, model=root("model")),
        DataRequest(
            root("data"),
            moved.data_dir or (None if data_dir == "none" else Path(data_dir)),
            moved.download,
            _numbers(stored, "mean"),
            _numbers(stored, "std"),
            tuple(root("splits").split(",")),
            None if limit == "none" else int(limit),
            stored.attributes["/"].get("subset", UNSAID["subset"]),
        ),
        LossRequest(
            root("loss"),
            ignored_number(root("ignore_index")),
            int(stored.attributes["/"].get("class_axis", -1)),
            _class_weights(root("class_weights")),
            float(stored.attributes["/"].get("label_smoothing", 0.0)),
        ),
    )


def stored_network(moved: MovedInputs, stored: StoredSurface, *, model: str = "") -> NetworkRequest:
    """Return the request for network and weights with which a surface was started.

    Args:
        moved: Present places of the inputs.
        stored: The stored surface.
        model: Value of --model; empty for a problem.
    """
    checkpoint = stored.text("provenance", "checkpoint")
    key = stored.text("provenance", "checkpoint_key")
    return NetworkRequest(
        model,
        moved.checkpoint or (None if checkpoint == "none" else Path(checkpoint)),
        moved.trust_checkpoint,
        moved.checkpoint_key or (None if key == "none" else key),
    )


def some_samples(inputs: Inputs, n: int, subset: str, path: Path) -> Inputs:
    """Return inputs with some of the training samples, and no other split.

    Args:
        inputs: Inputs with a training split.
        n: Number of samples.
        subset: Choice of the samples; see zoo.subset.
        path: The surface file, for the message.

    Raises:
        InputError: If there are fewer samples, or none of their targets counts.
    """
    if n > inputs.n_training:
        raise InputError(
            f"--limit {n}: {path} was computed with only {inputs.n_training} training samples. "
            f"Pass at most {inputs.n_training}."
        )
    splits = {"train": take(inputs.dataset.splits["train"], subset, n)}
    dataset = replace(inputs.dataset, splits=splits)
    check_counted(dataset)
    return replace(inputs, dataset=dataset)


def _class_weights(text: str) -> tuple[float, ...] | None:
    return None if text == "none" else numbers(text)


def _numbers(stored: StoredSurface, name: str) -> tuple[float, ...] | None:
    values = np.atleast_1d(stored.attributes["/"].get(name, ()))
    return tuple(float(value) for value in values) or None


def check_digests(
    stored: StoredSurface, sha256: Mapping[str, str], ways: Mapping[str, str]
) -> None:
    """Check that weights and data are those that a surface was computed from.

    Args:
        stored: The stored surface.
        sha256: Digests of the present ones, by their names in the file.
        ways: The way out if they differ, by the same names.

    Raises:
        InputError: If they differ.
    """
    for name, way_out in ways.items():
        known, found = stored.text("provenance", name), sha256[name]
        if known != found:
            what = name.removesuffix("_sha256")
            raise InputError(
                f"{stored.path}: was computed with {what} of SHA-256 {known[:16]}, but those "
                f"found now have {found[:16]}. Numbers of another network or other data would not "
                f"belong to this surface: {way_out}."
            )
