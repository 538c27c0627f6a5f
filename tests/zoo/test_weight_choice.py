"""Oracle: the weights that were put under each name, told apart by their values."""

import pytest
import torch
from refusals import refused
from torch import nn
from torch.optim.swa_utils import AveragedModel

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.checkpoint import fitted, load_state, map_checkpoint, read_checkpoint
from landscape_mpi.zoo.weight_fit import beside_network


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def weights(value, *, prefix=""):
    return {f"{prefix}{n}": torch.full_like(t, value) for n, t in network().state_dict().items()}


RAW, EMA = weights(1.0), weights(2.0)
OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.pth"


def loaded(path, content, key=None):
    """Return the value of all weights that are loaded, and what is told of them."""
    torch.save(content, path)
    filled = network()
    checkpoint = read_checkpoint(path, key=key)
    load_state(filled, checkpoint)
    (value,) = {float(v) for tensor in filled.state_dict().values() for v in tensor.ravel()}
    return value, fitted(checkpoint, filled).notes


def refusal(path, content, key=None):
    return refused(loaded, path, content, key)


BOTH = {
    "state_dict_ema": {"state_dict": RAW, "state_dict_ema": EMA, "optimizer": OPTIMIZER},
    "model_ema": {"model": RAW, "model_ema": EMA, "epoch": 3},
    "ema": {"ema": EMA, "net": RAW},
    "params_ema": {"params_ema": EMA, "params": RAW},
    "ema.module": {"model": RAW, "ema": {"module": EMA, "updates": 7}},
    "callbacks.EMA.ema_state_dict": {
        "state_dict": RAW,
        "callbacks": {"EMA": {"ema_state_dict": EMA}, "Stop": {"best_score": torch.ones(())}},
    },
    "swa_state_dict": {"model_state_dict": RAW, "swa_state_dict": EMA, "optim": OPTIMIZER},
}


@pytest.mark.parametrize("key", BOTH)
def test_raw_weights_are_taken_and_the_averaged_ones_named(key, path):
    value, notes = loaded(path, BOTH[key])
    assert value == 1
    raw = next(name for name, state in BOTH[key].items() if state is RAW)
    assert notes == (
        f"it also holds averaged weights, under {key}; the raw ones under {raw} are used. Pass "
        f"--checkpoint-key {key} for the averaged ones",
    )
    assert loaded(path, BOTH[key], key) == (2, (f"the weights under {key} are used",))
    assert loaded(path, BOTH[key], raw) == (1, (f"the weights under {raw} are used",))


def test_averages_that_are_a_list_are_named(path):
    average = {"decay": 0.99, "shadow_params": list(EMA.values())}
    value, notes = loaded(path, {"model": RAW, "ema": average, "optimizer": OPTIMIZER})
    assert (value, notes) == (
        1,
        (
            "it also holds averaged weights, under ema.shadow_params, as a list without names; "
            "they are not used",
        ),
    )


def test_averaged_weights_alone_are_taken(path):
    value, notes = loaded(path, {"state_dict_ema": EMA, "epoch": 3})
    assert (value, notes) == (2, ("it holds only averaged weights, under state_dict_ema",))
    words = refusal(path, {"ema": RAW, "swa": EMA})
    assert (
        "holds the weights of 2 networks, under ema, swa, and it is not clear which of them to use"
    ) in words


@pytest.mark.parametrize("wrapped", [True, False])
def test_an_averaged_model_says_of_how_many(wrapped, path):
    average = AveragedModel(network())
    average.load_state_dict({"n_averaged": torch.tensor(5), **weights(2.0, prefix="module.")})
    state = average.state_dict()
    value, notes = loaded(path, {"state_dict": state} if wrapped else state)
    assert (value, notes) == (2, ("its weights are the average of 5 (n_averaged)",))
    torch.save(state, path)
    again = AveragedModel(network())
    load_state(again, read_checkpoint(path))
    assert again.n_averaged == 5


@pytest.mark.parametrize("names", [("model", "net"), ("student", "teacher"), ("G", "best")])
def test_two_networks_of_the_same_names_are_refused(names, path):
    content = dict(zip(names, (RAW, EMA), strict=True)) | {"epoch": 3}
    assert refusal(path, content) == (
        f"{path}: holds the weights of 2 networks, under {', '.join(names)}, and it is not clear "
        "which of them to use. Pass --checkpoint-key with one of these names."
    )
    assert loaded(path, content, names[1])[0] == 2


def test_the_same_weights_under_two_names_need_no_choice(path):
    assert loaded(path, {"model": RAW, "best": {n: t.clone() for n, t in RAW.items()}}) == (1, ())


def test_of_two_networks_the_one_that_fits_is_taken(path):
    other = {"conv.weight": torch.ones(2, 3, 3, 3), "conv.bias": torch.ones(2)}
    value, notes = loaded(path, {"generator": other, "discriminator": RAW})
    assert value == 1
    assert notes == (
        "the network has no such tensors, so these are left out: generator.conv.weight, "
        "generator.conv.bias",
    )
    _, notes = loaded(path, {"generator": other, "model": RAW})
    assert notes == ("the weights under model are used, not those under generator",)
    torch.save({"generator": other, "discriminator": RAW}, path)
    with pytest.raises(InputError, match="holds several networks, under generator, discriminator."):
        map_checkpoint(path)


def test_several_parts_of_one_network_are_put_together(path):
    torch.save({"encoder": RAW, "decoder": {"out.weight": torch.ones(2, 2)}}, path)
    whole = nn.ModuleDict({"encoder": network(), "decoder": nn.ModuleDict()})
    whole["decoder"]["out"] = nn.Linear(2, 2, bias=False)
    load_state(whole, read_checkpoint(path))
    assert all(float(v) == 1 for t in whole.state_dict().values() for v in t.ravel())


def test_inside_one_state_dict_raw_weights_are_told_from_averages(path):
    state = weights(1.0, prefix="model.") | weights(2.0, prefix="ema_model.module.")
    value, notes = loaded(path, {"state_dict": state})
    assert value == 1
    assert notes[0].startswith(
        "it also holds averaged weights, under ema_model; the raw ones under"
    )
    assert loaded(path, {"state_dict": state}, "ema_model")[0] == 2
    assert loaded(path, {"state_dict": state}, "state_dict.ema_model")[0] == 2


def test_a_network_that_is_a_small_part_of_another_is_refused(path):
    others = {f"features.{n}.weight": torch.ones(2) for n in range(5)}
    content = {"state_dict": others | weights(1.0, prefix="classifier.")}
    assert refusal(path, content) == (
        f"{path}: holds the 4 tensors of the network under classifier, and 5 others that the "
        "network does not have (features.0.weight, features.1.weight, features.2.weight, "
        "features.3.weight, features.4.weight). Name the network that was trained, or pass "
        "--checkpoint-key classifier if you mean this part."
    )
    assert loaded(path, content, "classifier")[0] == 1
    other = {f"{n}.weight": torch.ones(2) for n in range(9)}
    assert loaded(path, {"generator": other, "discriminator": RAW})[0] == 1


@pytest.mark.parametrize("counted", ["model", "ema"])
def test_counters_of_batches_do_not_decide_which_weights_are_taken(counted, path):
    def normalised(value, module):
        state = {n: torch.full_like(t, value) for n, t in nn.BatchNorm1d(2).state_dict().items()}
        if module != counted:
            del state["num_batches_tracked"]
        return {f"{module}.{name}": tensor for name, tensor in state.items()}

    torch.save(normalised(1, "model") | normalised(2, "ema"), path)
    filled = nn.BatchNorm1d(2)
    checkpoint = read_checkpoint(path)
    load_state(filled, checkpoint)
    assert filled.weight.tolist() == [1, 1]
    assert "averaged weights, under ema; the raw" in fitted(checkpoint, filled).notes[0]


def test_two_networks_inside_one_state_dict_are_refused(path):
    state = weights(1.0, prefix="encoder_q.") | weights(2.0, prefix="encoder_k.")
    assert refusal(path, {"state_dict": state}) == (
        f"{path}: holds 2 sets of weights that fit the network, under encoder_q, encoder_k, and "
        "it is not clear which of them to use. Pass --checkpoint-key with one of these names."
    )
    assert loaded(path, {"state_dict": state}, "encoder_k")[0] == 2


def test_a_key_that_is_not_there_lists_those_that_are(path):
    content = {"model": RAW, "ema": {"module": EMA}, "epoch": 3}
    assert refusal(path, content, "ema.modul") == (
        f"--checkpoint-key ema.modul: {path} holds no weights under that name. Did you mean "
        f"ema.module? It holds weights under model, ema.module, 0, 2."
    )
    assert "holds an int, not weights, under that name." in refusal(path, content, "epoch")


def test_what_modules_keep_besides_tensors_is_kept_apart(path):
    torch.save({"model": RAW | {"0._extra_state": {"scale": 3, "names": ["a"]}}}, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.extra == {"0._extra_state": {"scale": 3, "names": ["a"]}}
    assert checkpoint.state.keys() == RAW.keys()
    torch.save({"module.0._extra_state": torch.ones(2), **weights(1.0, prefix="module.")}, path)
    assert list(read_checkpoint(path).extra) == ["0._extra_state"]


def test_a_tied_weight_outside_the_module_that_the_file_is_of(path):
    def tied():
        made = nn.ModuleDict({"transformer": nn.ModuleDict({"wte": nn.Embedding(5, 3)})})
        made["transformer"]["ln"] = nn.LayerNorm(3)
        made["lm_head"] = nn.Linear(3, 5, bias=False)
        made["lm_head"].weight = made["transformer"]["wte"].weight
        return made

    first, second = tied(), tied()
    torch.save(first["transformer"].state_dict(), path)
    load_state(second, read_checkpoint(path))
    torch.testing.assert_close(second["lm_head"].weight, first["lm_head"].weight)


@pytest.mark.parametrize(
    ("names", "beside"),
    [
        (["model.a", "criterion.w", "val_metrics.n"], ["criterion.w", "val_metrics.n"]),
        (["a.w", "loss_net.w", "average_pool.w"], []),
        (["model.a.w", "average.a.w"], ["average.a.w"]),
        (
            ["model.unet.a", "model_ema.uneta", "model_ema.decay"],
            ["model_ema.uneta", "model_ema.decay"],
        ),
        (["criterion.w"], []),
        (["a.w", "n_averaged"], ["n_averaged"]),
    ],
)
def test_what_lies_beside_a_network_by_its_names_alone(names, beside):
    assert beside_network(names) == beside


@pytest.mark.parametrize("middle", ["_orig_mod.", "module.", "_fsdp_wrapped_module."])
def test_wrappers_in_the_middle_of_names_do_not_count(middle, path):
    state = {name.replace("0.", f"0.{middle}"): t for name, t in RAW.items()}
    assert loaded(path, state) == (1, ())
    wrapped = network()
    wrapped[0] = torch.compile(wrapped[0])
    torch.save(RAW, path)
    load_state(wrapped, read_checkpoint(path))
    assert float(wrapped[0].weight.detach()[0, 0]) == 1
