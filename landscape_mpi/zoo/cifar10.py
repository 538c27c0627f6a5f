"""Read CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels, ten classes.

Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from landscape_mpi.zoo.cifar import Edition, Layout, load_cifar
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.named_data import FETCHED, Asked, Loaded, NamedData, Size

BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
CIFAR10 = Edition(
    name="cifar10",
    title="CIFAR-10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    known_hash="md5:c58f30108f718f92721af3b95e74349a",
    n_megabytes=170,
    n_classes=10,
    n_train=10_000,
    n_test=10_000,
    label="labels",
    n_label_bytes=1,
    layouts=(
        Layout("cifar-10-batches-py", BATCHES, "test_batch", is_pickled=True),
        Layout(
            "cifar-10-batches-bin",
            tuple(f"{name}.bin" for name in BATCHES),
            "test_batch.bin",
            is_pickled=False,
        ),
    ),
)
# Source: Li et al. 2018, from the training of their published networks
MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)


def load_cifar10(
    data_dir: Path | None,
    *,
    download: bool = False,
    url: str = CIFAR10.url,
    known_hash: str = CIFAR10.known_hash,
    n_per_batch: int = CIFAR10.n_train,
) -> dict[str, Split]:
    """Read the training and the test split, in the publisher's order.

    Args:
        data_dir: Folder cifar-10-batches-py or cifar-10-batches-bin, or its parent.
        download: Fetch the publisher's archive into data_dir if neither is there.
        url: Address of the archive.
        known_hash: Its checksum, ``algorithm:hexadecimal``.
        n_per_batch: Number of images that a batch must have.
    """
    edition = replace(
        CIFAR10, url=url, known_hash=known_hash, n_train=n_per_batch, n_test=n_per_batch
    )
    return load_cifar(edition, data_dir, download=download)


def _load(asked: Asked) -> Loaded:
    splits = load_cifar(CIFAR10, asked.data_dir, download=asked.download)
    return Loaded(splits, CIFAR10.n_classes)


DATA_SET = NamedData(
    load=_load,
    kind="image",
    size=Size(50_000, 10_000, (3, 32, 32), 10),
    files=FETCHED,
    words="in the published formats under `--data-dir`; `--download` fetches it there",
    statistics=(MEAN, STD),
    is_photographic=True,
)
