"""The plain loops that problems are compared with: torch alone, nothing of the package.

Each takes a network with its weights set and what the problem's data() gives for one split, and
returns the mean loss and the metrics. Where a batch is only a way to compute faster, samples go
through the network one by one and without padding; where the loss is that of a batch, or draws
random numbers, the loop goes by batches.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

PROMPT = 3
Values = dict[str, float]


def mean(losses: Iterable[torch.Tensor]) -> float:
    """Return the mean of all numbers of all tensors."""
    return float(torch.cat([loss.double().flatten() for loss in losses]).mean())


def seeded(batch: int, seed: int) -> None:
    """Let torch draw the numbers of a batch: they depend on its number and the problem's seed."""
    digest = hashlib.sha256(f"{seed}/{batch}/".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "big") // 2)


@torch.no_grad()
def language_model(net: nn.Module, batches: Any) -> Values:
    losses = []
    for batch in batches:
        for symbols, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
            n = int(mask.sum())
            logits = net(input_ids=symbols[None, :n]).logits[0, :-1]
            losses.append(
                functional.cross_entropy(logits, symbols[1:n], reduction="none")[PROMPT - 1 :]
            )
    return {"loss": mean(losses), "perplexity": math.exp(mean(losses))}


@torch.no_grad()
def text_classifier(net: nn.Module, loader: Any) -> Values:
    losses, right = [], []
    for number in range(len(loader.dataset)):
        sentence = loader.dataset[number]
        rows = {name: sentence[name][None] for name in ("input_ids", "token_type_ids")}
        logits, label = net(**rows).logits, torch.tensor([sentence["label"]])
        losses.append(functional.cross_entropy(logits, label))
        right.append((logits.argmax() == label).float())
    return {"loss": mean(losses), "accuracy": 100 * mean(right)}


@torch.no_grad()
def translation(net: nn.Module, loader: Any) -> Values:
    losses = []
    for source, target in loader.dataset:
        given = torch.cat([torch.zeros(1, dtype=torch.long), target[:-1]])
        logits = net(input_ids=source[None], decoder_input_ids=given[None]).logits[0]
        losses.append(functional.cross_entropy(logits, target, reduction="none"))
    return {"loss": mean(losses)}


def lora(net: Any, loader: Any) -> Values:
    return {"loss": text_classifier(net.merge_and_unload(), loader)["loss"]}


@torch.no_grad()
def image_classifier(net: nn.Module, dataset: Any) -> Values:
    losses, found = [], []
    for number in range(len(dataset)):
        image, label = dataset[number]
        scores = net(image[None])[0].log_softmax(0)
        losses.append(-scores[label])
        found.append((scores > scores[label]).sum() < 3)
    return {"loss": mean(losses), "top3": mean(found)}


@torch.no_grad()
def segmentation(net: nn.Module, batches: Any) -> Values:
    losses, right = [], []
    for batch in batches:
        for image, mask in zip(batch["image"], batch["mask"], strict=True):
            known = mask != 255
            scores = net(image[None])["out"][0][:, known].T
            losses.append(functional.cross_entropy(scores, mask[known], reduction="none"))
            right.append(scores.argmax(1) == mask[known])
    return {"loss": mean(losses), "pixel_accuracy": mean(right)}


def heat_equation(net: nn.Module, batches: Any) -> Values:
    """Differentiate by forward mode, as for a point at a time."""

    def u(point: torch.Tensor) -> torch.Tensor:
        return net(point[None])[0, 0]

    def residual(point: torch.Tensor) -> torch.Tensor:
        slopes, curved = torch.func.jacfwd(u), torch.func.jacfwd(torch.func.jacfwd(u))
        return slopes(point)[1] - 0.1 * curved(point)[0, 0]

    losses, squares = [], []
    for batch in batches:
        inside, start, walls = (batch[name].double() for name in ("inside", "start", "walls"))
        residuals = torch.func.vmap(residual)(inside)
        misses = [
            u(point * torch.tensor([1.0, 0.0])) - (math.pi * point[0]).sin() for point in start
        ]
        heats = [
            u(torch.stack([side, t])) for t in walls[:, 1] for side in torch.eye(2)[0].double()
        ]
        parts = (residuals, torch.stack(misses), torch.stack(heats))
        terms = [values.square().mean() for values in parts]
        losses += len(inside) * [(terms[0] + 10 * terms[1] + 10 * terms[2]).detach()]
        x, t = inside.T
        squares.append(net(inside)[:, 0] - (-0.1 * math.pi**2 * t).exp() * (math.pi * x).sin())
    return {"loss": mean(losses), "distance": math.sqrt(mean(s.detach().square() for s in squares))}


@torch.no_grad()
def vae(net: Any, loader: Any) -> Values:
    pixels, distances = [], []
    images = loader.dataset.tensors[0]
    for number, batch in enumerate(images.split(16)):
        seeded(number, 12)
        means, log_variances = net.encoder(batch).split(4, dim=1)
        spreads = log_variances.div(2).exp()
        decoded = net.decoder(torch.randn(len(batch), 4) * spreads + means).sigmoid()
        ones, zeros = batch * decoded.log(), (1 - batch) * (1 - decoded).log()
        pixels.append(-(ones + zeros).sum(1))
        normal = torch.distributions.Normal(means, spreads)
        prior = torch.distributions.Normal(0, 1)
        distances.append(torch.distributions.kl_divergence(normal, prior).sum(1))
    return {"loss": mean(pixels) + mean(distances), "reconstruction": mean(pixels)}


@torch.no_grad()
def diffusion(net: nn.Module, tensors: Any) -> Values:
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 100), 0)
    errors = []
    for number, images in enumerate(tensors[0].split(10)):
        seeded(number, 0)
        noise, steps = torch.randn(images.shape), torch.randint(100, (len(images),))
        share = kept[steps].view(-1, 1, 1, 1)
        errors.append(net(share.sqrt() * images + (1 - share).sqrt() * noise, steps).sample - noise)
    return {"loss": mean(error.square() for error in errors)}


@torch.no_grad()
def graphs(net: nn.Module, loader: Any) -> Values:
    losses = []
    for graph in loader.dataset:
        one = torch.zeros(len(graph.x), dtype=torch.long)
        losses.append(functional.cross_entropy(net(graph.x, graph.edge_index, one), graph.y))
    return {"loss": mean(losses)}


@torch.no_grad()
def adjacency(net: Any, batches: Any) -> Values:
    """Multiply with the dense matrix, node by node."""
    (batch,) = batches
    rows = batch["adjacency"].to_dense()
    hidden = torch.stack([row @ batch["nodes"] @ net.first.weight for row in rows]).tanh()
    logits = torch.stack([row @ hidden @ net.second.weight for row in rows])
    known = zip(logits[batch["mask"]], batch["classes"][batch["mask"]], strict=True)
    return {"loss": mean([functional.cross_entropy(*one) for one in known])}


@torch.no_grad()
def actor_critic(net: Any, tensors: Any) -> Values:
    states, actions, old, advantages, returns = tensors
    hidden = net.body(states)
    logs, values = net.actor(hidden).log_softmax(1), net.critic(hidden).squeeze()
    entropy = -(logs * logs.exp()).sum(1)
    ratio = (logs[torch.arange(len(logs)), actions] - old).exp()
    gain = torch.where(advantages > 0, ratio.clamp(max=1.2), ratio.clamp(min=0.8)) * advantages
    return {
        "loss": mean([0.5 * (values - returns) ** 2 - gain - 0.01 * entropy]),
        "entropy": mean([entropy]),
        "clipped": mean([(ratio < 0.8) | (ratio > 1.2)]),
    }


@torch.no_grad()
def contrastive(net: nn.Module, batches: Any) -> Values:
    losses = []
    for pair in batches:
        first, second = (net(view) / net(view).norm(dim=1, keepdim=True) for view in pair)
        likeness = (first[:, None] * second).sum(2) / 0.5
        across = likeness.logsumexp(1).mean() + likeness.logsumexp(0).mean()
        losses.append(across / 2 - likeness.diagonal().mean())
    return {"loss": mean(losses)}


@torch.no_grad()
def monte_carlo_dropout(net: Any, tensors: Any) -> Values:
    losses = []
    for number, (inputs, targets) in enumerate(zip(*(t.split(16) for t in tensors), strict=True)):
        hidden = net[0](inputs).relu()
        seeded(number, 21)
        hidden = functional.dropout(hidden, 0.3)
        losses.append((net[3](hidden) - targets) ** 2)
    return {"loss": mean(losses)}


@torch.no_grad()
def forecast(net: nn.Module, loader: Any) -> Values:
    return {"loss": mean((net(w[None]) - following) ** 2 for w, following in loader.dataset)}


@torch.no_grad()
def hooked(net: Any, tensors: Any) -> Values:
    """Run the layers one by one, with no hook."""
    images, classes = tensors
    early = functional.conv2d(images, net.body[0].weight, net.body[0].bias, padding=1).relu()
    late = functional.conv2d(early, net.body[2].weight, net.body[2].bias, padding=1).relu()
    logits = net.head(torch.cat([late, early], 1).mean((2, 3)))
    return {"loss": mean([functional.cross_entropy(logits, classes, reduction="none")])}


LOOPS: dict[str, Callable[[Any, Any], Values]] = {
    loop.__name__: loop
    for loop in (
        *(language_model, text_classifier, translation, lora, image_classifier, segmentation),
        *(heat_equation, vae, diffusion, graphs, adjacency, actor_critic),
        *(contrastive, monte_carlo_dropout, forecast, hooked),
    )
}
