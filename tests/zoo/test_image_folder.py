"""Oracle: images written here from known pixels, by Pillow without loss, and the sentences."""

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image
from refusals import refused

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.datasets import load_dataset

COLOUR = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]


def write(folder, images, classes=("b", "a"), suffix="png"):
    """Write images in turn to the folders of the classes."""
    for i, image in enumerate(images):
        path = folder / classes[i % len(classes)] / f"{i}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def refusal(folder):
    return refused(load_dataset, f"folder:{folder}").removeprefix(f"{folder}")


def test_classes_and_images_come_in_the_order_of_their_names(tmp_path):
    write(tmp_path / "train", COLOUR)
    write(tmp_path / "val", COLOUR[2:], suffix="bmp")
    data = load_dataset(f"folder:{tmp_path}")
    splits, n_classes = data.splits, data.n_classes
    np.testing.assert_array_equal(splits["train"].inputs, COLOUR[[1, 3, 0, 2]])
    assert splits["train"].targets.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(splits["test"].inputs, COLOUR[[3, 2]])
    assert (splits["test"].targets.dtype, n_classes) == (np.int64, 2)


def test_folders_of_classes_alone_are_the_training_split(tmp_path):
    write(tmp_path / "mine", GREY, classes=("x", "y", "z"))
    (tmp_path / "mine" / "x" / "notes.txt").write_text("no image")
    (tmp_path / "mine" / ".cache").mkdir()
    data = load_dataset("folder:mine", data_dir=tmp_path)
    assert list(data.splits) == ["train"]
    np.testing.assert_array_equal(data.splits["train"].inputs[..., 0], GREY[[0, 3, 1, 2]])
    assert (data.sample.shape, data.n_classes) == ((1, 5, 6), 3)
    assert data.mean == pytest.approx([(GREY / 255).mean()])


def test_grey_among_colour_becomes_colour_and_transparency_is_left_out(tmp_path):
    alpha = np.concatenate([COLOUR[1], np.full((5, 6, 1), 7, np.uint8)], axis=2)
    write(tmp_path, [COLOUR[0], alpha, GREY[2]])
    inputs = load_dataset(f"folder:{tmp_path}").splits["train"].inputs
    np.testing.assert_array_equal(inputs[:2], COLOUR[[1, 0]])
    np.testing.assert_array_equal(inputs[2], np.repeat(GREY[2, :, :, None], 3, axis=2))


def test_images_of_two_sizes_are_refused(tmp_path):
    write(tmp_path, [GREY[0], GREY[1], GREY[2, :, :4]])
    assert refusal(tmp_path) == (
        f"/b/2.png: is 4 x 5 pixels (width, height), but {tmp_path}/a/1.png is 6 x 5, and one "
        "network cannot take both. Resize all images to one size."
    )


def test_images_of_sixteen_bits_are_refused(tmp_path):
    write(tmp_path, [GREY[0].astype(np.uint16), GREY[1]])
    assert refusal(tmp_path).startswith("/b/0.png: its pixels have the type I;16, not 8 bits.")


@pytest.mark.parametrize("share", [0, 0.1, 0.7])
def test_damaged_images_are_named(tmp_path, share):
    write(tmp_path, np.random.default_rng(0).integers(0, 256, (2, 60, 60), dtype=np.uint8))
    content = (tmp_path / "b" / "0.png").read_bytes()
    (tmp_path / "b" / "0.png").write_bytes(content[: int(share * len(content))])
    assert refusal(tmp_path).startswith("/b/0.png: is not an image, or is damaged (")


def test_no_other_program_reads_an_image(tmp_path, monkeypatch):
    """PostScript is a program: Pillow gives it to Ghostscript, which leaves a trace here."""
    tools, trace = tmp_path / "tools", tmp_path / "trace"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {trace}\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    write(tmp_path / "mine", GREY)
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 5\n%%EndComments\n%%EOF\n"
    (tmp_path / "mine" / "a" / "1.png").write_bytes(page)
    assert refusal(tmp_path / "mine").startswith("/a/1.png: is not an image, or is damaged (")
    assert not trace.exists()


def test_folders_without_classes_or_images_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    assert refusal(tmp_path) == (
        ": has 1 folders, a; there must be one for each class, with its images in it."
    )
    (tmp_path / "b").mkdir()
    assert refusal(tmp_path).startswith("/a: has no images; looked for files that end in .png, ")


def test_splits_must_fit(tmp_path):
    write(tmp_path / "train", GREY)
    write(tmp_path / "test", GREY, classes=("a", "c"))
    assert refusal(tmp_path) == (
        "/test: has images of c, but the training images are of a, b. Both need the same classes."
    )
    write(tmp_path / "val", GREY)
    assert refusal(tmp_path).startswith(
        ": has test and val; only one of them can be the test split."
    )


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(MissingInputError) as caught:
        load_dataset("folder:none", data_dir=tmp_path)
    assert str(caught.value) == (
        f"--data folder:none: there is no folder none nor {tmp_path}/none."
    )
    with pytest.raises(
        MissingInputError, match="Pass its full path, or the folder that contains it as"
    ):
        load_dataset("folder:none")
    with pytest.raises(InputError, match="needs a folder. Pass --data folder:DIR"):
        load_dataset("folder:")
