"""Read CIFAR-100: 50,000 training and 10,000 test images, 32 x 32 pixels, 100 fine classes.

Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from landscape_mpi.zoo.cifar import Edition, Layout, load_cifar
from landscape_mpi.zoo.named_data import FETCHED, Asked, Loaded, NamedData, Size

CIFAR100 = Edition(
    name="cifar100",
    title="CIFAR-100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    known_hash="md5:eb9058c3a382ffc7106e4002c42a8d85",
    n_megabytes=169,
    n_classes=100,
    n_train=50_000,
    n_test=10_000,
    label="fine_labels",
    n_label_bytes=2,  # the coarse label, then the fine label
    layouts=(
        Layout("cifar-100-python", ("train",), "test", is_pickled=True),
        Layout("cifar-100-binary", ("train.bin",), "test.bin", is_pickled=False),
    ),
)


def _load(asked: Asked) -> Loaded:
    splits = load_cifar(CIFAR100, asked.data_dir, download=asked.download)
    return Loaded(splits, CIFAR100.n_classes)


DATA_SET = NamedData(
    load=_load,
    kind="image",
    size=Size(50_000, 10_000, (3, 32, 32), 100),
    files=FETCHED,
    words="the same as for CIFAR-10, with the fine labels",
    is_photographic=True,
)
