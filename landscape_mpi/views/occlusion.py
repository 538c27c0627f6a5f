"""Ambient occlusion: shade in narrow places, from which little of the sky is seen."""

from __future__ import annotations

from typing import Any

from vtkmodules.vtkRenderingOpenGL2 import vtkRenderStepsPass, vtkSSAOPass

RADIUS = 0.12  # of the longer side of the plane: farther parts take no light
BIAS = 0.005  # of the same: closer parts would shade their own mesh
SAMPLES = 16  # samples of the sky at each pixel; 128 take twice the time and look the same


def add_occlusion(renderer: Any, side: float) -> None:
    """Let a renderer draw with ambient occlusion.

    Args:
        renderer: A renderer of VTK.
        side: The longer side of the plane, in the unit of the points.
    """
    shade = vtkSSAOPass()
    shade.SetRadius(RADIUS * side)
    shade.SetBias(BIAS * side)
    shade.SetKernelSize(SAMPLES)
    shade.BlurOn()
    shade.SetDelegatePass(vtkRenderStepsPass())
    renderer.SetPass(shade)
