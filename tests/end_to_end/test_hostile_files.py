"""Files that claim what they do not hold, or what no node can hold.

Oracles: the address space of a process, which the system limits to little more than Python needs,
and its processor time; without a check first, such a file ends it or keeps it busy.
"""

import struct
import subprocess
import sys
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from limits import LIMIT_S
from PIL import Image
from refusals import refused
from surface_files import plane, write_surface

from landscape_mpi import node_memory
from landscape_mpi.errors import InputError
from landscape_mpi.store import directions, ensemble, reader, spectrum, weights
from landscape_mpi.zoo import image_folder, npz

MORE_BYTES = 1 << 29  # than the imports need
READ = """
import resource, sys
from pathlib import Path
from landscape_mpi.errors import InputError
from landscape_mpi.store import directions, ensemble, reader, resume, spectrum, status, weights
from landscape_mpi.zoo import idx, image_folder, npz
import PIL.Image, PIL.PngImagePlugin

def resumed(path):
    with resume.open_surface(path):
        pass

READERS = {
    "surface": reader.read_surface,
    "status": status.read_status,
    "resumed": resumed,
    "spectrum": spectrum.read_spectrum,
    "ensemble": ensemble.read_ensemble,
    "weights": weights.read_weights,
    "directions": lambda path: directions.read_directions(path, option="--directions"),
    "npz": lambda path: npz.load_npz(str(path)),
    "idx": lambda path: idx.read_idx(path, n_dimensions=3),
    "folder": lambda path: image_folder.load_folder(str(path))[0]["train"].of_rows(None),
}
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
began = resource.getrusage(resource.RUSAGE_SELF)
try:
    READERS[sys.argv[1]](Path(sys.argv[2]))
except InputError as problem:
    print(problem)
took = resource.getrusage(resource.RUSAGE_SELF)
print(took.ru_utime + took.ru_stime - began.ru_utime - began.ru_stime, file=sys.stderr)
"""


def limited_refusal(kind, path):
    words = [sys.executable, "-c", READ, kind, str(path), str(MORE_BYTES)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stderr.splitlines()[-1]) < 5
    (line,) = done.stdout.splitlines()
    return line


def hollow(path):
    """Write a file of some kilobytes with gigabytes that were never written."""
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "landscape_mpi surface"
        file.attrs["format_version"] = 1
        for name in ("alpha", "beta"):
            file[name] = np.linspace(-1, 1, 20_000)
        for name in ("train_loss", "train_error", "done"):
            file.create_dataset(name, (20_000, 20_000), "f8", chunks=(1000, 1000))
    return path


@pytest.mark.parametrize("kind", ["surface", "status", "resumed", "spectrum", "ensemble"])
def test_a_file_that_was_never_written(kind, tmp_path):
    path = hollow(tmp_path / "hollow.h5")
    assert path.stat().st_size < 400_000
    words = limited_refusal(kind, path)
    assert words.startswith(f"{path}: claims to hold 8.9 GiB in a file of 3")
    assert "most of it was never written" in words


@pytest.mark.parametrize("kind", ["weights", "directions"])
def test_other_files_that_were_never_written(kind, tmp_path):
    assert "most of it was never written" in limited_refusal(kind, hollow(tmp_path / "hollow.h5"))


OTHER_KINDS = {
    "spectrum": ("landscape_mpi spectrum", spectrum.DATASETS),
    "weights": ("landscape_mpi weights", (*weights.DATASETS, weights.NAMES)),
    "ensemble": ("landscape_mpi ensemble", ensemble.TABLES),
    "directions": ("landscape_mpi surface", ("directions",)),
}


@pytest.mark.parametrize("content", ["nothing", "group", "number", "marks"])
@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_other_files_with_something_else_in_the_place_of_data(kind, content, tmp_path):
    path = tmp_path / "other.h5"
    mark, names = OTHER_KINDS[kind]
    with h5py.File(path, "w") as file:
        file.attrs["format"] = [mark, mark] if content == "marks" else mark
        for name in (f"{name}/alpha/w" for name in names) if kind == "directions" else names:
            if content == "group":
                file.create_group(f"{name}/inner/w")
            else:
                file[name] = h5py.Empty("f8") if content == "nothing" else 1.0
            if isinstance(file[name], h5py.Dataset):
                file[name].attrs["sha256"] = "ab" * 32
    read = {
        "spectrum": spectrum.read_spectrum,
        "weights": weights.read_weights,
        "ensemble": ensemble.read_ensemble,
        "directions": directions.read_directions,
    }[kind]
    assert str(path) in refused(read, path)


@pytest.mark.parametrize("link", ["external", "soft", "virtual", "raw"])
def test_numbers_of_another_file(link, tmp_path):
    path, other = tmp_path / "mine.h5", tmp_path / "other.h5"
    axis = np.linspace(-1, 1, 4)
    for each in (path, other):
        write_surface(each, axis, axis, {"train_loss": plane(axis, axis, lambda a, b: a + b)})
    with h5py.File(path, "r+") as file:
        del file["train_loss"]
        if link == "external":
            file["train_loss"] = h5py.ExternalLink(str(other), "train_loss")
        if link == "soft":
            file["train_loss"] = h5py.SoftLink("/done")
        if link == "virtual":
            layout = h5py.VirtualLayout((4, 4), "f8")
            layout[...] = h5py.VirtualSource(str(other), "train_loss", (4, 4))
            file.create_virtual_dataset("train_loss", layout)
        if link == "raw":
            file.create_dataset("train_loss", (4, 4), "f8", external=[(str(other), 0, 128)])
    words = limited_refusal("surface", path)
    assert words.startswith(f"{path}: /train_loss is a link, or lies in another file, but a file")


def test_groups_that_hold_each_other_end(tmp_path):
    path = tmp_path / "circle.h5"
    axis = np.linspace(-1, 1, 4)
    write_surface(path, axis, axis, {"train_loss": plane(axis, axis, lambda a, b: a + b)})
    with h5py.File(path, "r+") as file:
        file["inner/outer"] = file["/"]
    words = [sys.executable, "-c", READ, "surface", str(path), str(MORE_BYTES)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    assert done.stdout == ""


def test_more_names_than_any_surface_has(tmp_path):
    """Each takes 30 bytes in the file, and time to look at."""
    path = tmp_path / "names.h5"
    with h5py.File(path, "w") as file:
        groups = [file.create_group(f"{number}") for number in range(240)]
        for group in groups:
            for number, other in enumerate(groups):
                group[f"{number}"] = other
    words = limited_refusal("status", path)
    assert words.startswith(f"{path}: has more than 50,000 names of groups and datasets. No file ")


def test_a_compressed_surface_is_read(tmp_path):
    """As h5repack makes it: a constant takes a thousandth of its size."""
    path = tmp_path / "packed.h5"
    axis = np.linspace(-1, 1, 1500)
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["format_version"] = "landscape_mpi surface", 1
        file["alpha"], file["beta"] = axis, axis
        for name in ("train_loss", "train_error", "test_loss", "test_error", "done"):
            values = np.ones((1500, 1500), "u1" if name == "done" else "f8")
            file.create_dataset(name, data=values, compression="gzip", compression_opts=9)
    words = [sys.executable, "-c", READ, "surface", str(path), str(1 << 30)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == ""


def header(shape, dtype="|u1"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def test_an_array_that_claims_terabytes(tmp_path):
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header((10**6, 1024, 1024, 3)))
        archive.writestr("labels.npy", header((10**6,)))
    words = limited_refusal("npz", path)
    assert words.startswith(f"{path}: images.npy claims to hold 2.9 TiB, but holds 0 bytes, ")


def changed_archive(path, field, value):
    """Write an archive, and change a byte of every one of its entries."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header((2, 4, 4)) + bytes(32))
        archive.writestr("labels.npy", header((2,)) + bytes(2))
    content = bytearray(path.read_bytes())
    for begin, place in ((b"PK\x03\x04", field), (b"PK\x01\x02", field + 2)):
        for at in [at for at in range(len(content)) if content.startswith(begin, at)]:
            content[at + place] = value
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [(6, 1, "is encrypted, password required"), (8, 9, "compression method is not supported")],
)
def test_an_archive_that_cannot_be_unpacked(field, value, reason, tmp_path):
    path = tmp_path / "mine.npz"
    changed_archive(path, field, value)
    words = limited_refusal("npz", path)
    assert words.startswith(f"{path}: is truncated or damaged (")
    assert reason in words
    assert words.endswith("Write it again with numpy.savez.")


def test_a_damaged_archive_of_lzma(tmp_path):
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", header((2, 4, 4)) + bytes(32))
    content = bytearray(path.read_bytes())
    begin = content.index(b"images.npy") + 20
    content[begin : begin + 30] = bytes(each ^ 0x5A for each in content[begin : begin + 30])
    path.write_bytes(content)
    assert "is truncated or damaged (Corrupt input data)" in limited_refusal("npz", path)


@pytest.mark.parametrize("text", [f"{{'shape': {'(' * 5000}", f"{{'descr': {'[' * 5000}"])
@pytest.mark.parametrize("shape", ["(-1, 4, 4)", "(True, 4, 4)"])
def test_headers_that_numpy_does_not_write(text, shape, tmp_path):
    path = tmp_path / "mine.npz"
    for each in (text.ljust(6000), f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"):
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(each) + 1) + each.encode() + b"\n"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", start + bytes(16))
        words = limited_refusal("npz", path)
        assert words.startswith(f"{path}: i")
        assert len(words) < len(str(path)) + 400


@pytest.mark.parametrize("kind", ["npz", "surface", "folder"])
def test_more_than_the_memory_that_is_free(kind, tmp_path, monkeypatch):
    table, path = tmp_path / "meminfo", tmp_path / "mine"
    table.write_text("MemTotal: 2 kB\nMemAvailable: 1 kB\n")
    monkeypatch.setattr(node_memory, "TABLE", table)
    images = np.zeros((9, 16, 16), np.uint8)
    if kind == "npz":
        np.savez(path.with_suffix(".npz"), images=images, labels=np.zeros(9, np.uint8))
        read, path = npz.load_npz, path.with_suffix(".npz")
    elif kind == "surface":
        axis = np.linspace(-1, 1, 20)
        write_surface(path, axis, axis, {"train_loss": plane(axis, axis, lambda a, b: a + b)})
        read = reader.read_surface
    else:
        for name in ("a", "b"):
            (path / name).mkdir(parents=True)
            for number, image in enumerate(images):
                Image.fromarray(image).save(path / name / f"{number}.png")

        def read(path):
            image_folder.load_folder(path)[0]["train"].of_rows(None)

    with pytest.raises(
        InputError, match=r" claims to hold \d\.\d KiB, but this node has only 1.0 KiB"
    ):
        read(str(path))


def test_a_single_array_that_claims_terabytes(tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(header((10**6, 1024, 1024, 3)))
    assert "is not a .npz file of numpy.savez" in limited_refusal("npz", path)


def test_a_gzip_bomb(tmp_path):
    path = tmp_path / "images-idx3-ubyte.gz"
    begin = struct.pack(">HBBIII", 0, 8, 3, 2, 3, 4) + bytes(24)
    pack = zlib.compressobj(wbits=31)  # as gzip does; after a flush, what follows stands for itself
    start = pack.compress(begin) + pack.flush(zlib.Z_FULL_FLUSH)
    block = pack.compress(bytes(10 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(start + 200 * block)
    words = limited_refusal("idx", path)
    said = (
        "has more than 24 bytes after its header, but the shape in the header, [2, 3, 4], needs 24"
    )
    assert f"{path}: {said}" in words


def test_a_header_of_terabytes(tmp_path):
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(struct.pack(">HBBIII", 0, 8, 3, 10**6, 1024, 1024))
    words = limited_refusal("idx", path)
    assert words.startswith(f"{path}: claims to hold 976.6 GiB, but this node has only ")
    assert " of free memory, so it is not read." in words


def test_a_png_bomb(tmp_path):
    """An image of 50,000 x 50,000 pixels in a few kilobytes."""

    def chunk(kind, content):
        sum_ = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + sum_

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        size = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
        image = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(1000)))
        (tmp_path / name / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + image + chunk(b"IEND", b""))
    words = limited_refusal("folder", tmp_path)
    assert words.startswith(f"{tmp_path}/a/x.png: claims to have more pixels than any image of a")
    assert "2500000000 pixels" in words


def test_the_limit_of_memory_is_one():
    """The tests above rely on it."""
    code = f"import numpy; numpy.ones({2 * MORE_BYTES // 8})"
    limited = f"import resource as r; r.setrlimit(r.RLIMIT_AS, ({MORE_BYTES},) * 2); {code}"
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, check=False)
    assert done.returncode != 0
