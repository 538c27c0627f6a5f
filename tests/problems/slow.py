"""The autoencoder again, with a pause in every batch for LAG seconds."""

import os
import time
from dataclasses import replace

from problems import vae


def loss(net, batch):
    time.sleep(float(os.environ.get("LAG", "0")))
    return vae.loss(net, batch)


def problem():
    return replace(vae.problem(), loss=loss)
