"""Named dimensions, by HDF5's dimension scales: xarray and netCDF identify axes by them.

If a dimension has no name, xarray and netCDF look for a dimension with the name of the dataset.
They even take one from a group above that has another length.
"""

from __future__ import annotations

from collections.abc import Iterable

import h5py
import numpy as np


def name_rows(group: h5py.Group, scale: str, names: Iterable[str], *, dimension: int = 0) -> None:
    """Let a dataset give the coordinates of a dimension of other datasets. Local.

    Args:
        group: Open for writing.
        scale: Dataset of one dimension.
        names: Datasets that lie along it.
        dimension: Number of the dimension in those datasets.
    """
    if not group[scale].is_scale:
        group[scale].make_scale(scale)
    for name in names:
        group[name].dims[dimension].attach_scale(group[scale])


def number_rows(
    group: h5py.Group, scale: str, long_name: str, names: Iterable[str], *, dimension: int = 0
) -> None:
    """Number a dimension of some datasets from 0 on, if nothing else names it. Local.

    Args:
        group: Open for writing.
        scale: Name of a row; becomes a new dataset, int64 [n].
        long_name: Meaning of its number.
        names: Datasets that lie along it, at least one.
        dimension: Number of the dimension in those datasets.
    """
    names = list(names)
    dataset = group.create_dataset(scale, data=np.arange(group[names[0]].shape[dimension]))
    dataset.attrs["units"] = "1"
    dataset.attrs["long_name"] = long_name
    name_rows(group, scale, names, dimension=dimension)
