"""Find the shapes of the intermediate tensors of a traced network."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx


def note_shapes(graph: fx.GraphModule, sample: torch.Tensor) -> None:
    """Store each node's output shape as ``meta["shape"]``; None if it is not a tensor."""
    with torch.no_grad():
        _NoteShapes(graph).run(sample)


class _NoteShapes(fx.Interpreter):
    """Run node by node; torch's own ShapeProp would load SymPy for this."""

    def run_node(self, node: fx.Node) -> Any:
        """Run a node as the network would."""
        result = super().run_node(node)
        node.meta["shape"] = result.shape if isinstance(result, torch.Tensor) else None
        return result
