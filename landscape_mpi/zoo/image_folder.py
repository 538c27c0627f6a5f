"""Read the user's own image files, in one folder per class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.node_memory import check_fits
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.named_data import Asked, Loaded, NamedData

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
# Formats of SUFFIXES. Pillow knows more, and goes by contents: EPS would start Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
GREY_MODES = ("1", "L", "LA")  # modes of Pillow with 8 bits
COLOUR_MODES = ("P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "PA")
TEST_FOLDERS = ("test", "val")


@dataclass(frozen=True)
class FolderSplit:
    """Read images from their files on demand."""

    files: list[tuple[Path, int]]  # files with their classes
    mode: str  # mode of Pillow in which all are read

    @property
    def n_samples(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def of_rows(self, rows: np.ndarray | None) -> Split:
        """Read some of the images, int64 [n], or all of them."""
        chosen = self.files if rows is None else [self.files[row] for row in rows]
        with _open(chosen[0][0]) as first:  # all are of one size
            n_pixels = first.size[0] * first.size[1]
        n_channels = 1 if self.mode in GREY_MODES else 3
        where = f"{chosen[0][0].parent.parent}: its {len(chosen):,} images"
        check_fits(where, len(chosen) * n_pixels * n_channels)
        images = np.stack([_read(path, self.mode) for path, _ in chosen])
        return Split(images, np.array([label for _, label in chosen], np.int64))


def load_folder(name: str, *, data_dir: Path | None = None) -> tuple[dict[str, FolderSplit], int]:
    """Find ``train/CLASS/*.png`` and ``test/CLASS/*.png``, or ``CLASS/*.png`` alone.

    Classes and files are taken in the order of their names. Images are grey if all files are grey,
    and in colour otherwise; transparency is dropped. All must have one size.

    Args:
        name: Folder, as a path or under data_dir.
        data_dir: Folder of --data-dir.

    Returns:
        The splits and the number of classes.

    Raises:
        InputError: If there are no images, or if they are not as described.
        MissingInputError: If there is no such folder.
    """
    root = _find_folder(name, data_dir)
    folders = _find_splits(root)
    classes = _classes_of(folders["train"])
    files = {split: _list_files(folder, classes) for split, folder in folders.items()}
    mode = _common_mode([path for listed in files.values() for path, _ in listed])
    return {split: FolderSplit(listed, mode) for split, listed in files.items()}, len(classes)


def _find_folder(name: str, data_dir: Path | None) -> Path:
    asked = Path(name).expanduser()
    places = [asked] if data_dir is None else [asked, data_dir / asked]
    for path in places:
        if name and path.is_dir():
            return path
    if not name:
        raise InputError("--data folder needs a folder. Pass --data folder:DIR.")
    looked = " nor ".join(dict.fromkeys(str(path) for path in places))
    hint = "" if data_dir else " Pass its full path, or the folder that contains it as --data-dir."
    raise MissingInputError(f"--data folder:{name}: there is no folder {looked}.{hint}")


def _find_splits(root: Path) -> dict[str, Path]:
    if not (root / "train").is_dir():
        return {"train": root}
    tests = [root / name for name in TEST_FOLDERS if (root / name).is_dir()]
    if len(tests) > 1:
        raise InputError(
            f"{root}: has {' and '.join(path.name for path in tests)}; only one of them can be "
            "the test split. Move one of them elsewhere."
        )
    return {"train": root / "train"} | ({"test": tests[0]} if tests else {})


def _classes_of(folder: Path) -> dict[str, int]:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(names) < 2:
        raise InputError(
            f"{folder}: has {len(names)} folders, {', '.join(names) or 'none'}; there must be one "
            "for each class, with its images in it."
        )
    return {name: i for i, name in enumerate(names)}


def _list_files(folder: Path, classes: dict[str, int]) -> list[tuple[Path, int]]:
    """Return images and labels in the order of the names.

    Raises:
        InputError: If a class has no images, or is not a class of the training split.
    """
    unknown = [name for name in _classes_of(folder) if name not in classes]
    if unknown:
        raise InputError(
            f"{folder}: has images of {', '.join(unknown)}, but the training images are of "
            f"{', '.join(classes)}. Both need the same classes."
        )
    files = []
    for name, label in classes.items():
        paths = sorted((folder / name).iterdir()) if (folder / name).is_dir() else []
        images = [path for path in paths if path.suffix.lower() in SUFFIXES]
        if not images:
            raise InputError(
                f"{folder / name}: has no images; looked for files that end in "
                f"{', '.join(SUFFIXES)}."
            )
        files += [(path, label) for path in images]
    return files


def _common_mode(paths: list[Path]) -> str:
    """Return the mode in which all images are read: grey if all are grey.

    Raises:
        InputError: If an image has another size than the first one, or more than 8 bits.
    """
    modes = set()
    size = None
    for path in paths:
        with _open(path) as image:
            mode, own = image.mode, image.size
        size = size or own
        if own != size:
            raise InputError(
                f"{path}: is {own[0]} x {own[1]} pixels (width, height), but {paths[0]} is "
                f"{size[0]} x {size[1]}, and one network cannot take both. Resize all images to "
                "one size."
            )
        if mode not in (*GREY_MODES, *COLOUR_MODES):
            raise InputError(
                f"{path}: its pixels have the type {mode}, not 8 bits. Convert them yourself, "
                "because there are several ways."
            )
        modes.add(mode)
    return "L" if modes <= set(GREY_MODES) else "RGB"


def _read(path: Path, mode: str) -> np.ndarray:
    """Return an image, uint8 [height, width, channels]."""
    with _open(path) as image:
        try:
            pixels = np.asarray(image.convert(mode))
        except (OSError, SyntaxError, ValueError) as problem:  # errors of the decoders
            _refuse(path, problem)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _open(path: Path) -> Any:
    from PIL import Image  # only this data set needs it

    try:
        return Image.open(path, formats=FORMATS)
    except (OSError, SyntaxError, ValueError) as problem:
        _refuse(path, problem)
    except Image.DecompressionBombError as problem:
        raise InputError(
            f"{path}: claims to have more pixels than any image of a training set: "
            f"{str(problem).rstrip('.')}. Replace it, or remove it."
        ) from problem


def _refuse(path: Path, problem: Exception) -> NoReturn:
    raise InputError(
        f"{path}: is not an image, or is damaged ({' '.join(str(problem).split())}). Replace it, "
        "or remove it."
    ) from problem


def _load(asked: Asked) -> Loaded:
    return Loaded(*load_folder(asked.argument, data_dir=asked.data_dir))


DATA_SET = NamedData(
    load=_load,
    kind="image",
    size="your own images, all of one size",
    files="DIR/train/CLASS/*.png, DIR/test/CLASS/*.png",
    words="`DIR/train/CLASS/*.png` and `DIR/test/CLASS/*.png`, or `DIR/CLASS/*.png`",
)
