"""Oracle: the names of the design, and torch's own shapes for small networks written here."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from folders import ROOT
from refusals import refused
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.catalogue import find_network
from landscape_mpi.zoo.dataset import DataSet, Sample, Split
from landscape_mpi.zoo.networks import build_network, check_network, network_names

SPLIT = Split(np.zeros((5, 8, 8, 1), np.uint8), np.zeros(5, np.int64))
ONE, TWO = (0.5,), np.zeros(2, np.int64)
DATA = DataSet("tiny", {"train": SPLIT}, (0.5,), (0.5,), 3, "")


def refusal(network):
    return refused(check_network, network, name="nets:build", data=DATA)


def test_names_are_those_of_the_papers():
    expected = {f"resnet{d}{s}" for d in (8, 14, 20, 32, 44, 56, 110) for s in ("", "_pad")}
    expected |= {f"resnet{d}_noshort" for d in (8, 14, 20, 32, 44, 56, 110)}
    expected |= {f"resnet{d}{s}" for d in (18, 34, 50) for s in ("", "_noshort")}
    expected |= {f"wrn56_{k}{s}" for k in (2, 4, 8) for s in ("", "_noshort")}
    expected |= {"wrn28_10", "preresnet110", "preresnet164", "densenet121"}
    expected |= {"vgg9", "vgg16", "vgg16_bn", "cnn1", "cnn3", "seismic1", "seismic3"}
    expected |= {"feedforward16", "feedforward16_skip2_14", "transformer"}
    expected |= {f"{cell}{n}" for cell in ("rnn", "lstm", "gru") for n in (120, 140)}
    assert set(network_names()) == expected


ROWS, TEXTS = np.zeros((2, 24), np.float32), np.zeros((2, 30), np.int64)
DATA_OF = {
    "image": DataSet(
        "i", {"train": Split(np.zeros((2, 32, 32, 1), np.uint8), TWO)}, ONE, ONE, 3, ""
    ),
    "table": DataSet("t", {"train": Split(ROWS, TWO)}, (), (), 3, ""),
    "text": DataSet("s", {"train": Split(TEXTS, TEXTS)}, (), (), 65, ""),
}


@pytest.mark.parametrize("kind", DATA_OF)
@pytest.mark.parametrize("name", [*network_names(), "feedforward1", "feedforward3_skip1_2", "gru1"])
def test_each_network_fits_what_it_was_built_for_and_nothing_else(name, kind):
    data = DATA_OF[kind]
    first = re.match("[a-z]+", name)[0]
    kinds = {"feedforward": ["image", "table"], "seismic": ["table"]}
    kinds |= {word: ["text"] for word in ("transformer", "rnn", "lstm", "gru")}
    with torch.device("meta"):
        if kind in kinds.get(first, ["image"]):
            check_network(build_network(name, sample=data.sample), name=name, data=data)
        else:
            with pytest.raises(InputError, match=f"--model {name}: takes .*, but the data are"):
                build_network(name, sample=data.sample)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("feedforward0", "a network of 0 layers; a network must have 1 to 1,000."),
        ("feedforward1001", "a network of 1001 layers; a network must have 1 to 1,000."),
        (
            "feedforward16_skip2_16",
            "a skip from layer 2 to layer 16 of 16. A skip goes from a layer to",
        ),
        (
            "feedforward16_skip0_3",
            "a skip from layer 0 to layer 3 of 16. A skip goes from a layer to a",
        ),
        (
            "feedforward16_skip14_2",
            "a skip from layer 14 to layer 2 of 16. A skip goes from a layer to",
        ),
    ],
)
def test_numbers_in_names_are_checked(name, complaint):
    with pytest.raises(InputError) as caught:
        build_network(name, n_channels=1, n_classes=3)
    assert str(caught.value).startswith(f"--model {name}: {complaint}")


def test_hidden_units_are_checked():
    with pytest.raises(
        InputError, match="--model lstm0: 0 hidden units; there must be 1 to 100,00"
    ):
        build_network("lstm0", sample=DATA_OF["text"].sample)


@pytest.mark.parametrize("name", ["feedforward", "feedforward16_skip2", "feedforward-1", "rnn120x"])
def test_names_with_numbers_in_another_form_are_not_known(name):
    with pytest.raises(
        InputError, match="is not known. Did you mean .*, feedforwardDEPTH_skipFIRS"
    ):
        build_network(name, n_channels=1, n_classes=3)


def test_every_network_that_the_documentation_names_is_there():
    text = (ROOT / "docs/how-to/networks.md").read_text()
    table = text.partition("| networks of the zoo | |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.strip().splitlines()[1:]]
    names = re.findall("`(.+?)`", " ".join(rows))
    assert len(names) > 20
    assert all(find_network(name) for name in names)


def test_the_check_leaves_the_network_as_it_was():
    network = build_network("resnet8", n_channels=1, n_classes=3)
    network.bn1.eval()
    check_network(network, name="resnet8", data=DATA)
    assert network.training
    assert not network.bn1.training
    assert not network.bn1.num_batches_tracked


def test_ones_own_network_is_built_by_its_function():
    assert isinstance(build_network("torch.nn:Flatten", n_channels=3, n_classes=10), nn.Flatten)


def test_unknown_name_lists_all_and_the_form_of_ones_own():
    with pytest.raises(
        InputError, match=r"--model: 'resnet65' is not known. Did you mean resnet56"
    ):
        build_network("resnet65", n_channels=3, n_classes=10)
    with pytest.raises(InputError, match=r"resnet8, .*resnet110_pad, .*package.module:function.$"):
        build_network("my_net", n_channels=3, n_classes=10)


def test_network_for_other_images_is_refused():
    assert refusal(build_network("resnet8", n_channels=3, n_classes=3)).startswith(
        "--model: nets:build cannot take the images of tiny, a batch of float32 [3, 1, 8, 8]: R"
    )


def test_outputs_that_are_not_logits_are_refused():
    assert refusal(nn.Identity()) == (
        "--model: nets:build returns [3, 1, 8, 8] for 3 images; the loss needs logits of shape "
        "[3, 3]."
    )


class Returns(nn.Module):
    """Returns what a function makes of the logits."""

    def __init__(self, make):
        super().__init__()
        self.make, self.linear = make, nn.Linear(64, 3)

    def forward(self, images):
        return self.make(self.linear(images.flatten(1)))


class Output(dict):
    """An output of a network of Hugging Face."""

    logits = torch.zeros(1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda logits: (None, logits),
            "returns a tuple, not a tensor. Pass --output with the entry that enters the loss: 1, "
            "float32 [3, 3].",
        ),
        (
            lambda logits: {"out": logits, "aux": logits[:, :1]},
            "returns a dict, not a tensor. Pass --output with the entry that enters the loss: "
            "out, float32 [3, 3]; aux, float32 [3, 1].",
        ),
        (
            lambda logits: Output(loss=3),
            "returns an Output, not a tensor. Pass --output with the entry that enters the loss: "
            "logits, float32 [1].",
        ),
        (
            lambda logits: None,
            "returns a NoneType, not a tensor. Wrap the network in a module whose forward returns "
            "only the tensor that enters the loss.",
        ),
    ],
)
def test_what_to_do_where_no_tensor_comes_out(make, words):
    assert refusal(Returns(make)) == f"--model: nets:build {words}"


def test_fewer_outputs_than_classes_are_refused():
    torch.manual_seed(0)
    assert refusal(build_network("resnet8", n_channels=1, n_classes=2)) == (
        "--model: nets:build has 2 outputs, but tiny has 3 classes, and each class needs an "
        "output. If the number 2 stands for no class, pass --ignore-index 2."
    )


def test_networks_are_built_for_a_sample_or_for_images_of_so_many_channels():
    network = build_network("resnet8", sample=Sample("image", (2, 9, 9), 4))
    assert network(torch.zeros(2, 2, 9, 9)).shape == (2, 4)
    with pytest.raises(TypeError, match="needs sample, or n_channels and n_classes"):
        build_network("resnet8", n_classes=3)


def test_network_for_other_samples_is_refused_with_those_that_fit():
    with pytest.raises(InputError) as caught:
        build_network("resnet8", sample=Sample("table", (24,), 2))
    assert str(caught.value).startswith(
        "--model resnet8: takes images, but the data are rows of 24 numbers. Networks for these "
        "data: "
    )


class Transformed(nn.Module):
    def __init__(self, transform):
        super().__init__()
        self.transform = transform

    def forward(self, images):
        return self.transform(images.flatten(1)[:, :3])


@pytest.mark.parametrize(
    ("transform", "found"),
    [(torch.fft.fft, "complex64"), (lambda logits: logits.argsort(), "int64")],
)
def test_logits_that_are_no_real_numbers_are_refused(transform, found):
    assert refusal(Transformed(transform)) == (
        f"--model: nets:build returns {found}; the loss needs logits that are real floating-point "
        "numbers, not classes. Let forward return the logits."
    )


def test_a_target_at_each_place_needs_logits_at_each_place():
    sequences = np.zeros((5, 6), np.int64)
    data = DataSet("speech", {"train": Split(sequences, sequences)}, (), (), 3, "")
    check_network(nn.Embedding(3, 3), name="nets:build", data=data)
    with pytest.raises(InputError) as caught:
        check_network(nn.Sequential(nn.Embedding(3, 3), nn.Flatten()), name="a:b", data=data)
    assert str(caught.value) == (
        "--model: a:b returns [3, 18] for 3 sequences; the loss needs logits of shape [3, 3, 6], "
        "or [3, 6, 3]."
    )


PLACES = np.arange(5 * 4 * 3).reshape(5, 4, 3) % 3


class Spread(nn.Module):
    """Has logits of any shape for an image."""

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, images):
        return images.mean() * torch.ones(len(images), *self.shape)


def axis_of(shape, targets, **asked):
    data = replace(DATA, splits={"train": Split(SPLIT.inputs, targets)})
    return check_network(Spread(*shape), name="a:b", data=data, **asked)


@pytest.mark.parametrize(
    ("shape", "targets", "axis"),
    [
        ((3,), PLACES[:, 0, 0], -1),
        ((3, 4, 3), PLACES, 1),
        ((4, 3, 3), PLACES, -1),
        ((5, 4, 3), PLACES, 1),
        ((7, 4), PLACES[:, :, 0], 1),
        ((4, 7), PLACES[:, :, 0], -1),
    ],
)
def test_the_axis_of_the_classes_is_the_one_that_fits(shape, targets, axis):
    assert axis_of(shape, targets) == axis
    if targets.ndim == 1:
        assert axis_of(shape, targets, class_axis=1) == -1  # there is no other


def test_classes_that_fit_along_both_axes_are_asked_for():
    with pytest.raises(InputError) as caught:
        axis_of((4, 4), PLACES[:, :, 0])
    assert str(caught.value) == (
        "--class-axis: a:b returns [3, 4, 4] for targets of shape [3, 4], so its classes may lie "
        "along axis 1, as in torch's losses, or along the last axis, as in language models. The "
        "two give different losses: pass --class-axis 1 or --class-axis -1."
    )
    assert [axis_of((4, 4), PLACES[:, :, 0], class_axis=axis) for axis in (1, -1)] == [1, -1]


def test_an_axis_that_does_not_fit_and_targets_with_one_axis_more():
    with pytest.raises(InputError, match=r"needs logits of shape \[3, 3, 4\] for --class-axis 1.$"):
        axis_of((4, 7), PLACES[:, :, 0], class_axis=1)
    with pytest.raises(
        InputError, match=r"remove the axis of length 1 with targets.squeeze\(1\).$"
    ):
        axis_of((3, 4, 3), PLACES[:, None])


class Letters(nn.Module):
    """Sequences of letters whose number says how long they are, packed as recurrent layers do."""

    def __init__(self, n_letters, n_classes):
        super().__init__()
        self.embed = nn.Embedding(n_letters, 5, padding_idx=0)
        self.cell = nn.GRU(5, n_classes, batch_first=True)

    def forward(self, text):
        lengths = (text != 0).sum(dim=1)
        pack = nn.utils.rnn.pack_padded_sequence
        return self.cell(pack(self.embed(text), lengths, True, enforce_sorted=False))[1][0]


def test_networks_are_tried_on_samples_of_the_data():
    """No symbol is made up, nor a sequence of nothing but padding, which packing refuses."""
    text = np.tile([1, 2, 3, 1, 0], (9, 1))
    text[7, 0] = 4
    data = DataSet("letters", {"train": Split(text, np.arange(9) % 7)}, (), (), 7, "")
    check_network(Letters(5, 7), name="a:b", data=data)
    with pytest.raises(InputError, match="a batch of int64 .*: IndexError: index out of range"):
        check_network(Letters(4, 7), name="a:b", data=data)


def test_a_network_is_tried_in_its_own_type():
    check_network(Returns(lambda logits: logits).double(), name="a:b", data=DATA)


def test_targets_that_do_not_count_are_no_classes():
    targets = np.array([0, 255, 2, 255, 1])
    data = replace(DATA, splits={"train": Split(SPLIT.inputs, targets)}, ignored=255)
    assert check_network(Spread(3), name="a:b", data=data) == -1
    with pytest.raises(InputError) as caught:
        check_network(Spread(3), name="a:b", data=replace(data, ignored=1, n_classes=256))
    assert "has 256 classes, and each class needs an output. If the number 255 stands" in str(
        caught.value
    )
    nothing = replace(data, splits={"train": Split(SPLIT.inputs, np.full(5, 255))})
    with pytest.raises(InputError) as caught:
        check_network(Spread(3), name="a:b", data=nothing)
    assert str(caught.value) == (
        "--ignore-index 255: none of the 5 targets of train counts, so there is nothing to take a "
        "mean over. Pass the number that stands for no class, or --ignore-index none to count all "
        "targets."
    )
