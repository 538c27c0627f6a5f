"""The clipped loss of an actor and a critic: terms of policy, value and entropy."""

import torch
from torch import nn
from torch.distributions import Categorical

from landscape_mpi import Problem

CLIP, VALUE, ENTROPY = 0.2, 0.5, 0.01


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 32), nn.Tanh())
        self.actor, self.critic = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, states):
        hidden = self.body(states)
        return Categorical(logits=self.actor(hidden)), self.critic(hidden)[:, 0]


def network():
    torch.manual_seed(17)
    return ActorCritic()


def data():
    """States, actions, their old log-probabilities, advantages and returns."""
    draw = torch.Generator().manual_seed(18)
    states, actions = torch.randn(50, 4, generator=draw), torch.randint(3, (50,), generator=draw)
    old, advantages, returns = torch.randn(3, 50, generator=draw)
    return states, actions, old - 1.1, advantages, returns


def loss(net, batch):
    states, actions, old, advantages, returns = batch
    policy, values = net(states)
    ratio = (policy.log_prob(actions) - old).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)
    return VALUE * (values - returns).square() - gain - ENTROPY * policy.entropy()


def entropy(net, batch):
    return net(batch[0])[0].entropy()


def clipped(net, batch):
    states, actions, old, *_ = batch
    ratio = (net(states)[0].log_prob(actions) - old).exp()
    return ((ratio - 1).abs() > CLIP).float()


def problem():
    metrics = {"entropy": entropy, "clipped": clipped}
    return Problem(network(), data(), loss, metrics=metrics, batch_size=20)
