"""timm, from wherever it is: among the packages, or apart from them, where set-up has put it.

timm imports torchvision. That of PyPI is made for the torch of PyPI: beside a torch without CUDA it
does not find its compiled operations, and stops at the first two that it describes. No network here
uses them, so they are named for it.
"""

import sys

import torch

sys.path.append(f"{sys.prefix}/vision")  # see requirements-vision.lock
try:
    import torchvision  # noqa: F401
except RuntimeError:  # operator torchvision::nms does not exist
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")

import timm

sys.path.pop()  # transformers would take torchvision without asking whether it works

__all__ = ["timm"]
