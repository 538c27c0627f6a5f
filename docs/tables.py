"""Write the tables of what the commands can name, and a page for each command, into docs/.

    python docs/tables.py            # tables between their markers, in *.md and docs/
    python docs/tables.py --check    # change nothing; status 1 if a page is not up to date

Most tables come from landscape_mpi/registry.py and the modules that it names. The tables of fields
come from landscape_mpi/store, and the table of extras from setup.cfg. A table stands between
``<!-- table: NAME -->`` and ``<!-- end of table -->``. The pages of the commands come from the
parsers of the commands (command_pages.py).
"""

from __future__ import annotations

import configparser
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

import landscape_mpi
from landscape_mpi.jobs.live.computation import SurfaceOptions
from landscape_mpi.jobs.live.curve_computation import CurveOptions
from landscape_mpi.jobs.live.hessian_computation import HessianOptions
from landscape_mpi.jobs.live.trajectory_projection import TrajectoryOptions
from landscape_mpi.jobs.surface.plane_options import RUNNING_STATISTICS
from landscape_mpi.jobs.training import run_folder
from landscape_mpi.registry import DATA_SETS, NETWORKS, NORMALIZATIONS, PICTURES, QUANTITIES
from landscape_mpi.store import (
    ensemble,
    lines,
    plane_curve,
    schema,
    solution_marks,
    spectrum,
    trajectory,
    weights,
)
from landscape_mpi.store.sampling_fields import sampling_fields as sampling_fields_of
from landscape_mpi.views import basins, ring_table, topology_table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

from command_pages import command_pages  # noqa: E402

COMMAND_PAGES = ROOT / "docs/reference/commands"
BETWEEN = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def networks() -> str:
    """Return the table of networks, a row for each family."""
    families = [family for _, family in NETWORKS.items()]
    titles = [family.title or ", ".join(map(code, family.names)) for family in families]
    words = [family.words for family in families]
    return table("networks of the zoo", "", rows=zip(titles, words, strict=True))


def data() -> str:
    """Return the table of data sets."""
    found = DATA_SETS.items()
    rows = [(code(form), data.size_in_words, data.words) for form, data in found]
    return table("your data", "training + test", "", rows=rows)


def normalizations() -> str:
    """Return the table of how directions are scaled."""
    rows = [(code(name), way.words) for name, way in NORMALIZATIONS.items()]
    return table("`--normalize`", "in random directions", rows=rows)


def pictures() -> str:
    """Return the table of the kinds of pictures."""
    rows = [(code(name), kind.words) for name, kind in PICTURES.items()]
    return table("`--kind`", "", rows=rows)


def quantities() -> str:
    """Return the table of quantities beside loss and error."""
    rows = [(code(name), quantity.words) for name, quantity in QUANTITIES.items()]
    return table("`--also`", "", rows=rows)


def running_statistics() -> str:
    """Return the table of what happens to batch-norm's running statistics."""
    rows = [(code(name), words) for name, words in RUNNING_STATISTICS.items()]
    return table("`--batch-norm`", "running statistics", rows=rows)


def extras() -> str:
    """Return the table of the package's extras and the packages that each installs."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    plain = config["options"]["install_requires"]
    rows = [(code("pip install ."), "pictures and meshes: `plot` and `vtp`", packages_in(plain))]
    for name, requirements in config["options.extras_require"].items():
        packages = "" if name in WITHOUT_PACKAGES else packages_in(requirements)
        rows.append((code(f".[{name}]"), EXTRAS[name], packages))
    return table("you install", "for", "packages", rows=rows)


def packages_in(requirements: str) -> str:
    """Return the packages of requirements, without their versions."""
    return ", ".join(re.findall(r"^([\w-]+)", requirements, re.MULTILINE))


def surface_format() -> str:
    """Return the format and the version of a surface file."""
    mark = [("`format`", code(schema.FORMAT)), ("`format_version`", str(schema.FORMAT_VERSION))]
    labels = ("`axis_labels`", ", ".join(map(code, schema.AXIS_LABELS)))
    return table("attribute of the file", "", rows=[*mark, labels])


def surface_fields() -> str:
    """Return the table of the datasets of a surface file."""
    known = [*schema.AXES, *schema.QUANTITIES.values(), *schema.BOOKKEEPING.values()]
    return table(*FIELD_TITLES, rows=map(field_row, known))


def adaptive_fields() -> str:
    """Return the table of the datasets that interpolated points add."""
    known = schema.adaptive_fields(tuple(schema.QUANTITIES.values()), "that of the tolerance")
    return table(*FIELD_TITLES, rows=map(field_row, known))


def sampling_fields() -> str:
    """Return the table of the datasets of values from a part of the samples."""
    known = sampling_fields_of([schema.QUANTITIES["train_loss"]], ["train"], "samples")
    return table(*FIELD_TITLES, rows=map(field_row, known))


def hessian_fields() -> str:
    """Return the table of the datasets that the eigenvalues add."""
    known = [*schema.HESSIAN.values(), *schema.HESSIAN_BOOKKEEPING.values()]
    return table(*FIELD_TITLES, rows=map(field_row, known))


def field_row(field: schema.Field) -> tuple[str, ...]:
    """Return the row of a dataset."""
    return code(field.name), str(np.dtype(field.dtype)), field.units, field.long_name


def trajectory_columns() -> str:
    """Return the table of the columns that describe each checkpoint of a trajectory."""
    texts = [(code(name), "text", words) for name, words in trajectory.TEXTS.items()]
    components = (code("components"), "1", trajectory.COMPONENTS)
    return table("column", "unit", "", rows=[*described(trajectory.COLUMNS), *texts, components])


def runs() -> str:
    """Return the table of the columns that describe each run."""
    rows = [(code(name), type_words(schema.RUN[name])) for name in schema.RUN.names or ()]
    return table("column", "type", rows=rows)


def type_words(kind: np.dtype) -> str:
    """Return a type in words."""
    return f"text, up to {kind.itemsize} bytes" if kind.kind == "S" else str(kind)


def spectrum_fields() -> str:
    """Return the table of the datasets of a spectrum file."""
    return file_table(spectrum.FORMAT, spectrum.FORMAT_VERSION, described(spectrum.DATASETS))


def weights_fields() -> str:
    """Return the table of the datasets of a weights file."""
    return file_table(weights.FORMAT, weights.FORMAT_VERSION, described(weights.DATASETS))


def ensemble_fields() -> str:
    """Return the table of the datasets of an ensemble file, by their groups."""
    named = {
        f"{group}/{name}": words
        for group, columns in ensemble.TABLES.items()
        for name, words in columns.items()
    }
    return file_table(ensemble.FORMAT, ensemble.FORMAT_VERSION, described(named))


def python_names() -> str:
    """Return the table of the names of the package, each with the first line of its docstring."""
    found = {name: inspect.getdoc(getattr(landscape_mpi, name)) for name in landscape_mpi.__all__}
    rows = [(code(name), (text or "").partition("\n")[0]) for name, text in found.items()]
    return table("name", "", rows=[(name, text.replace("``", "`")) for name, text in rows])


def python_options(options: type) -> Callable[[], str]:
    """Return the function that makes the table of a function's options, from their comments."""

    def options_table() -> str:
        lines = re.findall(r"^    (\w+): .*?  # (.+)$", inspect.getsource(options), re.M)
        assert [name for name, _ in lines] == list(options.__annotations__)
        return table("option", "(default)", rows=[(code(name), words) for name, words in lines])

    return options_table


def columns_of(columns: Mapping[str, str]) -> Callable[[], str]:
    """Return the function that makes the table of some columns."""

    def columns_table() -> str:
        return table("column", "", rows=((code(name), text) for name, text in columns.items()))

    return columns_table


def described(fields: Mapping[str, tuple[str, str]]) -> list[tuple[str, ...]]:
    """Return a row for each dataset, from its unit and long name."""
    return [(code(name), units, words) for name, (units, words) in fields.items()]


def file_table(mark: str, version: int, rows: Iterable[tuple[str, ...]]) -> str:
    """Return the table of a file, with its format in the head."""
    return table(f"dataset of `{mark}`, version {version}", "unit", "", rows=rows)


EXTRAS = {  # the use of each extra
    "compute": "all commands that compute",
    "report": "interactive pages: `report`",
    "animation": "films: `plot --film NAME.mp4`",
    "topology": "basins: `topology` and `plot --critical`",
    "xarray": "surfaces in xarray: `to_xarray()`",
    "all": "everything above",
    "docs": "these pages: `make docs`",
    "test": "the tests: `make test`",
}
WITHOUT_PACKAGES = {"all", "docs", "test"}  # their rows say enough
FIELD_TITLES = ("dataset", "type", "unit", "")
TABLES: dict[str, Callable[[], str]] = {
    "networks": networks,
    "data": data,
    "normalizations": normalizations,
    "pictures": pictures,
    "quantities": quantities,
    "running_statistics": running_statistics,
    "extras": extras,
    "python_names": python_names,
    "surface_options": python_options(SurfaceOptions),
    "hessian_options": python_options(HessianOptions),
    "curve_options": python_options(CurveOptions),
    "trajectory_options": python_options(TrajectoryOptions),
    "ensemble_fields": ensemble_fields,
    "weights_fields": weights_fields,
    "spectrum_fields": spectrum_fields,
    "runs": runs,
    "trajectory_columns": trajectory_columns,
    "curve_columns": columns_of(plane_curve.COLUMNS | plane_curve.BENDS),
    "marks_columns": columns_of(solution_marks.COLUMNS),
    "log_columns": columns_of(run_folder.COLUMNS),
    "barrier_columns": columns_of(lines.COLUMNS),
    "ring_columns": columns_of(ring_table.CIRCLES),
    "ring_number_columns": columns_of(ring_table.NUMBERS),
    "topology_columns": columns_of(topology_table.COLUMNS),
    "basin_columns": columns_of(basins.COLUMNS),
    "hessian_fields": hessian_fields,
    "surface_fields": surface_fields,
    "adaptive_fields": adaptive_fields,
    "sampling_fields": sampling_fields,
    "surface_format": surface_format,
}


def code(name: str) -> str:
    """Return a name as code."""
    return f"`{name}`"


def table(*titles: str, rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown, without the end of its last line."""
    head, *lines = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (titles, *rows)]
    return "\n".join([head, f"|{'---|' * len(titles)}", *lines])


def filled(text: str) -> str:
    """Return a page with its tables as they are to be."""
    return BETWEEN.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n\n{match[3]}", text)


def pages() -> dict[Path, str]:
    """Return the text of each page that is generated, or that may have tables."""
    found = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("**/*.md"))]
    texts = {page: filled(page.read_text()) for page in found}
    return texts | {COMMAND_PAGES / f"{name}.md": text for name, text in command_pages().items()}


def main(arguments: list[str]) -> int:
    """Write the pages, or check them; return the exit status."""
    changed = {
        page: text
        for page, text in pages().items()
        if not page.exists() or page.read_text() != text
    }
    if arguments == ["--check"]:
        for page in changed:
            print(f"{page}: is not up to date. Run make tables.")
        return 1 if changed else 0
    COMMAND_PAGES.mkdir(exist_ok=True)
    for page, text in changed.items():
        page.write_text(text)
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
