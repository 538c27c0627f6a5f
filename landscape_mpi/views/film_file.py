"""A film as a file: MP4 of H.264, which every player opens, or GIF of few colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from landscape_mpi.errors import InputError
from landscape_mpi.output import whole_file
from landscape_mpi.views.canvas import color_map
from landscape_mpi.views.film import Film, draw_pixels
from landscape_mpi.views.optional_packages import import_optional

WIDTHS = {".mp4": 960, ".gif": 560}  # pixels
FPS = {".mp4": 20.0, ".gif": 10.0}  # frames of a turn
SLOWEST = 10.0  # some players stumble over fewer frames per second: then frames are repeated
# The colours of a GIF, the same in all frames: greys for letters, the map for the bar, the rest
# for the faces.
N_GREYS, N_BAR, N_FACES = 28, 64, 164
N_SAMPLED = 5  # frames from which the colours of the faces are chosen
# Constant quality, and the index first, so that a browser need not load all of it to begin.
H264 = ["-f", "mp4", "-crf", "20", "-movflags", "+faststart"]

Frames = Callable[[int], np.ndarray]  # draws a frame by its number, uint8 [rows, columns, 3]


def check_film_name(path: Path) -> None:
    """Check that a film can be written in the format of its file name.

    Raises:
        InputError: If the name ends in neither .mp4 nor .gif, or a package is missing.
    """
    kind = path.suffix.lower()
    if kind not in WIDTHS:
        raise InputError(
            f"--film: {path} ends in neither .mp4 nor .gif. Name the film with one of these "
            "endings."
        )
    if kind == ".mp4":
        _ffmpeg()


def write_film(film: Film, path: Path) -> str:
    """Draw a film, with a bar on a terminal, and write it whole or not at all.

    Args:
        film: The film, drawn in the style of the house.
        path: File to write, with a name that check_film_name accepts.

    Returns:
        Words for the file: frames, seconds, pixels and megabytes.

    Raises:
        InputError: If it cannot be written.
    """
    kind = path.suffix.lower()
    box = film.box()
    # H.264 halves the resolution of colours, so both sides are even.
    size = WIDTHS[kind], 2 * round(WIDTHS[kind] * box.height / box.width / 2)
    shown = tqdm(total=film.n_frames, desc=path.name, unit="frame", disable=None, leave=False)

    def frame(k: int) -> np.ndarray:
        shown.update()
        return draw_pixels(film.draw(k), box, size)

    with shown, whole_file(path) as partial:
        (_write_mp4 if kind == ".mp4" else _write_gif)(film, frame, partial, size)
        n_bytes = partial.stat().st_size
    return (
        f"{film.n_frames} frames, {film.seconds:g} s, {size[0]} x {size[1]} pixels, "
        f"{n_bytes / 1e6:.2g} MB"
    )


def _write_mp4(film: Film, frame: Frames, path: Path, size: tuple[int, int]) -> None:
    times = math.ceil(SLOWEST * film.seconds / film.n_frames)
    rate = film.n_frames * times / film.seconds
    look: dict[str, Any] = {"codec": "libx264", "macro_block_size": 2, "quality": None}
    ffmpeg = _ffmpeg()
    file = ffmpeg.write_frames(
        str(path), size, fps=rate, output_params=H264, ffmpeg_log_level="error", **look
    )
    with closing(file):  # closing waits for ffmpeg, also if a frame could not be drawn
        file.send(None)
        for k in range(film.n_frames):
            pixels = frame(k)
            for _ in range(times):
                file.send(pixels)
    # The writer does not report a disk that was full at the end.
    n_frames = ffmpeg.count_frames_and_secs(str(path))[0] if path.exists() else 0
    if n_frames != film.n_frames * times:
        raise OSError(f"{n_frames} of {film.n_frames * times} frames arrived")


def _write_gif(film: Film, frame: Frames, path: Path, size: tuple[int, int]) -> None:
    every = max(1, film.n_frames // N_SAMPLED)
    drawn = {k: frame(k) for k in range(0, film.n_frames, every)}
    palette = _palette_of(np.concatenate(list(drawn.values())))

    def images() -> Iterator[Image.Image]:
        for k in range(film.n_frames):
            pixels = drawn[k] if k in drawn else frame(k)
            yield Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.NONE)

    others = images()
    first = next(others)
    hundredths = max(
        2, round(100 * film.seconds / film.n_frames)
    )  # browsers slow down shorter durations
    look: dict[str, Any] = {"save_all": True, "append_images": others, "loop": 0}
    first.save(path, format="GIF", duration=10 * hundredths, **look)


def _palette_of(pixels: np.ndarray) -> Image.Image:
    """Return an image with the palette for pixels [rows, columns, 3].

    Each colour counts once, so that the colours of a small area are not left out.
    """
    once = np.unique(pixels.reshape(-1, 3), axis=0)
    colored = once[np.ptp(once, axis=1) > 0] if (np.ptp(once, axis=1) > 0).any() else once
    faces = Image.fromarray(colored[None]).quantize(N_FACES, method=Image.Quantize.MEDIANCUT)
    greys = np.repeat(np.linspace(0, 255, N_GREYS).round(), 3)
    bar = np.round(255 * color_map()(np.linspace(0.0, 1.0, N_BAR))[:, :3]).ravel()
    fixed = np.concatenate([greys, bar]).astype(int).tolist()
    palette = Image.new("P", (1, 1))
    palette.putpalette([*fixed, *(faces.getpalette() or [])[: 3 * N_FACES]])
    return palette


def _ffmpeg() -> Any:
    """Return the package with the encoder.

    Raises:
        InputError: If it is not installed.
    """
    return import_optional(
        "imageio_ffmpeg",
        what="--film: an .mp4",
        instead="Or name a .gif, which needs no further package.",
    )
