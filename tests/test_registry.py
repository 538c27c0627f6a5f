"""Oracles: the files that the registry names, the pages of docs/, sizes counted in arrays."""

import importlib.util
import re
import subprocess
import sys

import numpy as np
import pytest
from folders import ROOT
from matplotlib import colormaps

from landscape_mpi.compute.normalizations.normalization import Normalization
from landscape_mpi.engine.quantities.quantity import Quantity
from landscape_mpi.errors import InputError
from landscape_mpi.registry import (
    COLOR_MAPS,
    DATA_SETS,
    NETWORKS,
    NORMALIZATIONS,
    PICTURES,
    QUANTITIES,
    REVERSED,
    USER_FUNCTION,
    Registry,
    named_path,
)
from landscape_mpi.views.picture_kind import PictureKind
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.family import Family
from landscape_mpi.zoo.named_data import NamedData

WHAT = {  # the room that each registry's files are in, and what they hold
    "DATA_SETS": (DATA_SETS, "zoo", NamedData),
    "NETWORKS": (NETWORKS, "zoo", Family),
    "NORMALIZATIONS": (NORMALIZATIONS, "compute", Normalization),
    "PICTURES": (PICTURES, "views", PictureKind),
    "QUANTITIES": (QUANTITIES, "engine", Quantity),
}


@pytest.mark.parametrize("what", WHAT)
def test_every_line_names_a_thing_of_its_room(what):
    registry, room, kind = WHAT[what]
    assert len(registry)
    for name, thing in registry.items():
        assert registry.place(name).startswith(f"{room}.")
        assert isinstance(thing, kind), name
        assert thing.words


def luminance(name):
    """Return the lightness of a map's colours as the eye has it, float64 [256]."""
    red, green, blue = (np.asarray(colormaps[name](np.linspace(0, 1, 256))) ** 2.2).T[:3]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", COLOR_MAPS)
def test_a_map_becomes_lighter_all_the_way_or_up_to_its_middle(name):
    assert f"{name}{REVERSED}" in colormaps
    light = luminance(name)
    rises = np.diff(light) > -1e-3
    assert rises.all() or light[112:144].min() > max(light[0], light[-1])


def test_names_are_imported_when_they_are_asked_for():
    code = (
        "import sys\n"
        "from landscape_mpi.registry import DATA_SETS, NORMALIZATIONS\n"
        "assert 'filter' in NORMALIZATIONS and list(DATA_SETS)[0] == 'cifar10'\n"
        "before = {'numpy', 'torch', 'landscape_mpi.zoo'} & set(sys.modules)\n"
        "NORMALIZATIONS['filter']\n"
        "print(before, {'numpy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set() set()\n"


def test_an_unknown_name_is_refused_with_the_nearest():
    places = {"contour": "views.flat_pictures:CONTOUR", "filled": "views.flat_pictures:FILLED"}
    with pytest.raises(InputError) as caught:
        Registry("--kind", places)["conture"]
    assert str(caught.value) == (
        "--kind: 'conture' is not known. Did you mean contour? Known: contour, filled."
    )


def test_a_family_is_listed_by_one_that_is_in_it():
    for name, family in NETWORKS.items():
        assert name in family.names
        assert all(family.has(each) for each in family.names)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ("npz:/a/b.npz", "/a/b.npz"),
        ("folder:DIR", "DIR"),
        ("seismic:3", None),
        ("npz", None),
        ("cifar10", None),
        ("my.package:data", None),
        (USER_FUNCTION, None),
    ],
)
def test_some_data_are_a_path(data, path):
    assert named_path(data) == path


FOLDERS = {
    "cifar10": "cifar-10-batches-py",
    "seismic[:SEED]": "seismic-bumps",
    "shakespeare[:LENGTH]": "tinyshakespeare",
}


@pytest.mark.parametrize("form", ["digits", *FOLDERS])
def test_the_sizes_said_are_the_sizes_read(form, request):
    folder = request.getfixturevalue("data_dir") if form in FOLDERS else None
    if folder is not None and not (folder / FOLDERS[form]).exists():
        pytest.skip(f"LANDSCAPE_DATA has no {FOLDERS[form]}")
    data, said = load_dataset(form.partition("[")[0], data_dir=folder), DATA_SETS[form].size
    assert len(data.splits["train"].targets) == said.n_train
    assert len(data.splits["test"].targets) == said.n_test
    assert (data.sample.kind, data.sample.shape) == (DATA_SETS[form].kind, said.shape)
    assert data.n_classes == said.n_classes


def tables_script():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_table_stands_on_one_page_and_is_that_of_the_registry():
    script = tables_script()
    pages = {page: page.read_text() for page in script.pages()}
    found = [name for text in pages.values() for _, name, _ in script.BETWEEN.findall(text)]
    assert sorted(found) == sorted(script.TABLES)
    for page, text in pages.items():
        assert text == script.filled(text), f"{page.name} is not up to date: run make tables"


def test_a_table_that_differs_is_found_and_mended(tmp_path, monkeypatch, capsys):
    script = tables_script()
    monkeypatch.setattr(script, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table: pictures -->\n| old |\n<!-- end of table -->\nb\n")
    assert script.main(["--check"]) == 1
    assert capsys.readouterr().out.startswith(f"{page}: is not up to date. ")
    assert script.main([]) == 0
    assert script.main(["--check"]) == 0
    mended = page.read_text()
    assert mended.startswith("a\n<!-- table: pictures -->\n\n| `--kind` | |\n|---|---|\n| `conto")
    assert mended.endswith("|\n\n<!-- end of table -->\nb\n")
    assert len(re.findall(r"^\| `\w+` \| .+ \|$", mended, re.MULTILINE)) == len(PICTURES)
