"""Ambient occlusion: shade in narrow places, where little of the sky is seen."""

from __future__ import annotations

from typing import Any

from vtkmodules.vtkRenderingOpenGL2 import vtkRenderStepsPass, vtkSSAOPass

RADIUS = 0.12  # of the longer side of the plane: how far away something still takes light
BIAS = 0.005  # of the same: below it, the faces of the mesh itself would
SAMPLES = 16  # of the sky at each pixel; 128 take twice the time and look the same


def add_occlusion(renderer: Any, side: float) -> None:
    """Let a renderer draw with ambient occlusion.

    Args:
        renderer: VTK's.
        side: The longer side of the plane, in the unit of the points.
    """
    shade = vtkSSAOPass()
    shade.SetRadius(RADIUS * side)
    shade.SetBias(BIAS * side)
    shade.SetKernelSize(SAMPLES)
    shade.BlurOn()
    shade.SetDelegatePass(vtkRenderStepsPass())
    renderer.SetPass(shade)
