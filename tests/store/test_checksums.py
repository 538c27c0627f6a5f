"""Oracle: the file itself with bytes of it changed: it is refused, or it still says the same.

What it says is read back with bare h5py.
"""

import os

import h5py
import numpy as np
import pytest
from adaptive_files import write_bowl
from mpi4py import MPI

from landscape_mpi.errors import InputError
from landscape_mpi.store.checksums import point_checksums, seal
from landscape_mpi.store.creation import SurfaceContent, create_surface
from landscape_mpi.store.hessian import add_eigenvalues
from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.resume import check_same_surface
from landscape_mpi.store.schema import HESSIAN
from landscape_mpi.store.status import read_status
from landscape_mpi.store.writer import GatheringWriter

VALUES = ("train_loss", "train_error", "seconds", "rank", "checksum", "alpha", "beta")
CONTENT = SurfaceContent(
    alpha=np.linspace(-1, 1, 3),
    beta=np.linspace(0, 1, 2),
    quantities=("train_loss", "train_error"),
    attributes={
        "/": {"model": "resnet20", "batch": 64, "mean": [0.5, 0.25], "precision": "fp32"},
        "directions": {"normalize": "filter", "seed": 1},
        "provenance": {"weights_sha256": "ab" * 32},
    },
    vectors={"alpha": {"layer.weight": np.ones((2, 3), np.float32)}},
)
N_DONE = 4  # of 6


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a file with computed points and others."""
    path = tmp_path_factory.mktemp("whole") / "a.h5"
    create_surface(path, CONTENT)
    points = np.arange(N_DONE)
    writer = GatheringWriter(path, comm=MPI.COMM_SELF)
    columns = {"train_loss": np.sqrt(points), "train_error": points / 7, "seconds": points + 0.5}
    writer.write_round(points, columns | {"rank": np.zeros(N_DONE, np.int32)})
    writer.close()
    return path.read_bytes()


def places_of(data, path):
    """Return where the bytes of each dataset of the grid lie, and those of the table of runs."""
    path.write_bytes(data)
    with h5py.File(path) as file:
        nodes = {name: file[name] for name in (*VALUES, "done", "provenance/runs")}
        return {
            name: range(node.id.get_offset(), node.id.get_offset() + node.id.get_storage_size())
            for name, node in nodes.items()
        }


def said_of(path):
    """Return all that a file says, but for its table of runs and values that are not computed."""
    said = {}
    with h5py.File(path) as file:
        done = file["done"][...] == 1
        for group in ("/", "directions", "provenance"):
            texts = {name: repr(np.asarray(v).tolist()) for name, v in file[group].attrs.items()}
            said |= {(group, name): np.asarray(text) for name, text in texts.items()}
        said |= {name: file[name][...] for name in ("alpha", "beta")} | {"done": done}
        said |= {name: file[name][...][done] for name in ("train_loss", "train_error", "seconds")}
        said["vectors"] = file["directions/alpha/layer.weight"][...]
    return {name: (value.shape, value.tobytes()) for name, value in said.items() if value.size}


def problem_of(path, read=lambda path: check_same_surface(path, CONTENT)):
    try:
        read(path)
    except InputError as problem:
        return str(problem)
    return None


def flipped(data, place, mask=0x10):
    return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


def test_any_bit_of_a_computed_point_or_an_axis(whole, tmp_path):
    path = tmp_path / "a.h5"
    for name, places in places_of(whole, path).items():
        if name not in VALUES:
            continue
        computed = places if name in {"alpha", "beta"} else places[: len(places) * N_DONE // 6]
        for place in computed:
            for mask in (1, 0x80):
                path.write_bytes(flipped(whole, place, mask))
                words = problem_of(path)
                assert words, (name, place)
                assert "is damaged: " in words
                assert "--fresh or a new --out" in words
                assert name in {"alpha", "beta"} or problem_of(path, read_surface)


def test_a_flag(whole, tmp_path):
    path = tmp_path / "a.h5"
    flags = places_of(whole, path)["done"]
    path.write_bytes(flipped(whole, flags[1], 2))  # neither of the flags that runs write
    assert "1 of its 4 computed points are not as they were written" in problem_of(path)
    path.write_bytes(flipped(whole, flags[5], 1))  # a point that was never computed
    assert "1 of its 5 computed points are not as they were written" in problem_of(path)
    assert "the first one at [alpha, beta] = [2, 1]" in problem_of(path)
    path.write_bytes(flipped(whole, flags[1], 1))  # lost: it is computed once more
    assert problem_of(path) is None


def test_any_byte_of_computed_eigenvalues(whole, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(whole)
    add_eigenvalues(path, {"matrix": "Hessian"})
    points = np.array([1, 4])
    columns = {name: points + 0.25 for name in HESSIAN if HESSIAN[name].dtype == "f8"}
    columns |= {"hessian_products": points, "hessian_start": points % 2}
    columns |= {"hessian_seconds": points / 3, "hessian_rank": np.zeros(2, np.int32)}
    writer = GatheringWriter(path, comm=MPI.COMM_SELF)
    writer.write_round(points, columns, flags="hessian_done")
    writer.close()
    data = path.read_bytes()
    assert problem_of(path) is None
    assert problem_of(path, read_surface) is None
    with h5py.File(path) as file:
        nodes = {name: file[name] for name in (*columns, "hessian_checksum")}
        begins = {name: node.id.get_offset() for name, node in nodes.items()}
        sizes = {name: node.dtype.itemsize for name, node in nodes.items()}
        flags = file["hessian_done"].id.get_offset()
    for name, begin in begins.items():
        for place in range(begin + 4 * sizes[name], begin + 5 * sizes[name]):
            path.write_bytes(flipped(data, place))
            words = problem_of(path, read_surface)
            assert words, (name, place)
            assert "is damaged: the eigenvalues at 1 of its points are not as they were" in words
            assert problem_of(path) == words
    path.write_bytes(flipped(data, flags + 2, 1))  # a point without eigenvalues
    assert "the first ones at [alpha, beta] = [1, 0]" in problem_of(path)
    path.write_bytes(flipped(data, flags + 4, 6))  # a flag that no run writes
    assert "the first ones at [alpha, beta] = [2, 0]" in problem_of(path)
    path.write_bytes(flipped(data, flags + 4, 1))  # lost: they are computed once more
    assert problem_of(path) is None


def test_other_bytes_are_noticed_or_do_not_matter(whole, tmp_path):
    path = tmp_path / "a.h5"
    runs = places_of(whole, path)["provenance/runs"]
    said = said_of(path)
    places = [place for place in range(len(whole)) if place not in runs]
    step = int(os.environ.get("LANDSCAPE_BYTES_BETWEEN", "61"))
    n_refused = 0
    for place in places[::step]:
        path.write_bytes(flipped(whole, place))
        words = problem_of(path)
        n_refused += words is not None
        if words is None:
            then = said_of(path)
            flags = then.pop("done"), said["done"]
            assert flags[0] == flags[1] or place in places_of(whole, path)["done"]
            assert all(then[name] == said[name] for name in then), place
    print(f"{n_refused} of {len(places[::step])} changes refused, the others change nothing")
    assert n_refused > len(places[::step]) / 4


def test_no_two_values_make_up_for_each_other():
    one, other, place = np.random.default_rng(0).normal(size=(3, 1000))
    sums = point_checksums({"alpha": place, "train_loss": one, "train_error": other})
    exchanged = point_checksums({"alpha": place, "train_loss": other, "train_error": one})
    moved = point_checksums({"alpha": place[::-1], "train_loss": one, "train_error": other})
    assert len(np.unique(np.concatenate([sums, exchanged, moved]))) == 3000


def test_results_that_are_not_numbers_have_checksums_too():
    columns = {"train_loss": np.array([np.nan, np.inf, -np.inf])}
    assert len(np.unique(point_checksums(columns))) == 3


def test_what_is_added_later_is_sealed(whole, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file.create_group("notes")["alpha"] = np.arange(3.0)
    assert "constant parts of the file, such as texts and axes, have changed" in problem_of(path)
    assert problem_of(path, read_surface) is None
    seal(path)
    assert problem_of(path) is None


@pytest.fixture(scope="module")
def adaptive(tmp_path_factory):
    """The bytes of a complete file with interpolated points, and where its self-check lies."""
    path = write_bowl(tmp_path_factory.mktemp("adaptive") / "a.h5")
    with h5py.File(path) as file:
        nodes = [file[name] for name in ("check_error", "check_estimate", "check_checksum")]
        begins = [(node.id.get_offset(), node.id.get_storage_size()) for node in nodes]
    return path.read_bytes(), [range(begin, begin + size) for begin, size in begins]


def test_any_byte_of_a_self_check(adaptive, tmp_path):
    data, spans = adaptive
    path = tmp_path / "a.h5"
    path.write_bytes(data)
    assert problem_of(path, read_surface) is None
    for span in spans:
        for place in span[::37]:  # a step that meets each of the 8 bytes of a number
            path.write_bytes(flipped(data, place))
            words = problem_of(path, read_surface)
            assert "is damaged: the results of its self-check (check_error, check_estim" in words
            assert words.endswith(
                "the command of the surface with --repair (makes these results again), --fresh "
                "or a new --out."
            )


def test_a_self_check_counts_once_a_point_is_interpolated(adaptive, tmp_path):
    """A run that is killed while it writes the check has no such point yet."""
    data, spans = adaptive
    path = tmp_path / "a.h5"
    path.write_bytes(flipped(data, spans[0][0]))
    with h5py.File(path, "r+") as file:
        done = file["done"][...]
        file["done"][...] = np.where(done == 2, 0, done)
    assert problem_of(path, read_surface) is None


@pytest.mark.parametrize(
    "name",
    ["alpha", "done", "train_loss", "rank", "checksum", "provenance/runs", "provenance/seal"],
)
@pytest.mark.parametrize("kind", ["group", "nothing", "number", "texts", "rows", "space"])
def test_something_else_in_the_place_of_a_dataset(name, kind, whole, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        del file[name]
        if kind == "group":
            file.create_group(name)
        elif kind == "texts":
            file.create_dataset(name, (3, 2), h5py.string_dtype())
        else:
            shapes = {"number": 1.0, "rows": np.zeros(0), "space": np.ones((3, 2, 2))}
            file[name] = shapes.get(kind, h5py.Empty("f8"))
    for read in (read_surface, read_status, lambda path: check_same_surface(path, CONTENT)):
        words = problem_of(path, read)
        may_pass = name.startswith("provenance/") and read is read_surface
        may_pass |= name == "provenance/seal" and read is read_status
        assert may_pass or str(path) in words, (read, words)


def test_a_version_without_end(whole, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = np.inf
    assert "It is damaged. Copy it again" in problem_of(path, read_surface)


@pytest.mark.parametrize("value", [h5py.Empty("f8"), "abc", np.arange(5), np.nan, b"\xff\xfe"])
@pytest.mark.parametrize("name", ["n_classes", "cosine", "units"])
def test_something_else_in_the_place_of_an_attribute(name, value, whole, tmp_path):
    """VTK aborts on a text that is not UTF-8."""
    path = tmp_path / "a.h5"
    path.write_bytes(whole)
    group = {"n_classes": "/", "cosine": "directions", "units": "train_loss"}[name]
    with h5py.File(path, "r+") as file:
        file[group].attrs[name] = value
    words = problem_of(path, read_surface)
    is_text = isinstance(value, bytes)
    if name == "units":
        assert ("utf-8" in (words or "")) == is_text
    elif name == "cosine" and isinstance(value, float):
        assert words is None  # a line has none
    else:
        assert is_text or f"its attribute {name} is " in words
        assert "amaged. Copy it again from the machine of the job." in words


@pytest.mark.parametrize("name", [b"train_\xff", b"\x1b[2J"])
def test_a_name_that_cannot_be_printed(name, whole, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file[name] = np.ones((3, 2))
    words = problem_of(path, read_surface)
    assert ("'utf-8' codec" if b"\xff" in name else "is not a name that a program gives") in words
    assert words.isprintable()
