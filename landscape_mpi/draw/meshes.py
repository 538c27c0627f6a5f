"""Write the mesh of one surface, or of each of several."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape_mpi.draw.mesh_lines import build_lines, write_lines
from landscape_mpi.draw.scene import check_scene, write_scene
from landscape_mpi.draw.space_options import look_of
from landscape_mpi.draw.vtp_options import (
    check_look,
    check_mesh_name,
    check_picture_name,
    check_series,
    the_only,
)
from landscape_mpi.errors import InputError
from landscape_mpi.invocation import typed
from landscape_mpi.output import check_output

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface
    from landscape_mpi.views.heights import Heights
    from landscape_mpi.views.mesh import Mesh


MOST_DRAWN = 501  # points along an axis of a rendered mesh: a cell then has three pixels


def write_one(options: argparse.Namespace) -> None:
    """Write the mesh of one surface, its lines, its script and its picture, and describe them.

    Raises:
        InputError: If the surface cannot be a mesh, or a file cannot be written.
    """
    from landscape_mpi.store.reader import check_computed, read_surface
    from landscape_mpi.views.mesh import build_mesh

    source = the_only(options.surfaces)
    surface = read_surface(source)
    check_computed(surface)
    check_is_surface(surface)
    shown = choose_shape([surface], options)
    mesh = build_mesh(surface, options.quantity, **shown)
    out = options.out or source.with_suffix(".vtp")
    check_mesh_name(out, watertight=options.watertight)
    check_output(out, inputs=[source])
    check_picture_name(options.render, out, surface.path)
    check_look(options)
    check_scene(options, out)
    lines = build_lines(surface, mesh, out, options, shown)
    write_mesh(mesh, out, watertight=options.watertight)
    print(out)
    print("\n".join(describe(mesh, shown["heights"], options.range)))
    write_lines(lines, out)
    if options.paraview or options.render is not None:
        show([surface], [mesh], lines, out, options, shown["heights"], shown["scale"])


def show(
    surfaces: Sequence[Surface],
    meshes: Sequence[Mesh],
    lines: dict[str, Mesh],
    out: Path,
    options: argparse.Namespace,
    heights: Heights,
    scale: float,
    *,
    time: str | None = None,
) -> None:
    """Write the script of --paraview and the picture of --render, and print their names."""
    from landscape_mpi.views.coarse import thinned
    from landscape_mpi.views.mesh import build_mesh
    from landscape_mpi.views.mesh_view import view_meshes
    from landscape_mpi.views.render import render_mesh

    look, lid = look_of(options), options.lid
    view = view_meshes(surfaces, meshes, options.quantity, heights, look, lid=lid)
    if options.paraview:
        write_scene(out, meshes, lines, view, time=time)
    if options.render is not None:
        surface, shape = surfaces[0], {"heights": heights, "scale": scale, "lid": lid}
        few = thinned(surface, MOST_DRAWN)
        drawn = meshes[0] if few is surface else build_mesh(few, options.quantity, **shape)
        render_mesh(drawn, options.render, view, lines=lines.get("contours"))
        print(options.render)
        if few is not surface:
            computed = "{} x {}".format(*surface.shape)
            print(f"drawn with fewer points than computed ({computed})")


def choose_shape(surfaces: Sequence[Surface], options: argparse.Namespace) -> dict[str, Any]:
    """Choose heights, factor and lid for all meshes, the arguments of build_mesh.

    Raises:
        InputError: If a surface lacks the quantity.
    """
    from landscape_mpi.store.sums import with_sum
    from landscape_mpi.views.choice import check_quantity
    from landscape_mpi.views.heights import choose_heights
    from landscape_mpi.views.levels import NO_ENDS
    from landscape_mpi.views.relief import choose_factor

    name = options.quantity
    summed = [with_sum(surface, name) for surface in surfaces]
    for surface in summed:
        check_quantity(surface, name)
    values = [surface.values[name][surface.done_of[name]] for surface in summed]
    unit, ends = summed[0].units[name], options.range or NO_ENDS
    # A line keeps the values themselves, because it is drawn as a curve over its axis.
    kind = options.kind or ("linear" if all(s.is_line for s in summed) else None)
    heights = choose_heights(values, unit, kind=kind, ends=ends)
    scale = options.scale or choose_factor(summed, name, heights, lid=options.lid)
    return {"heights": heights, "scale": scale, "lid": options.lid}


def write_all(options: argparse.Namespace) -> None:
    """Write a mesh for each surface, or for each line of --repeats, and the .pvd of all.

    Raises:
        InputError: If a surface cannot be a mesh, or an option is only for a single one.
    """
    from landscape_mpi.store.reader import check_computed, read_surface
    from landscape_mpi.views.mesh import build_mesh, write_vtp
    from landscape_mpi.views.series import split_repeats, times_of, word_of, write_series

    check_series(options)
    check_look(options)
    read = [read_surface(path) for path in options.surfaces]
    parts = split_repeats(read[0]) if len(read) == 1 else read
    for surface in parts:
        check_computed(surface)
        check_is_surface(surface)
    repeats = len(read) == 1
    times = [float(k) for k in range(len(parts))] if repeats else times_of(options.surfaces)
    shown = choose_shape(parts, options)
    meshes = [build_mesh(surface, options.quantity, **shown) for surface in parts]
    width = len(str(len(parts) - 1))
    names = [f"{options.series.stem}_{k:0{width}}.vtp" for k in range(len(parts))]
    places = [options.series.with_name(name) for name in names]
    for place in (*places, options.series):
        check_output(place, inputs=options.surfaces)
    check_scene(options, options.series)
    for surface, mesh, place, when in zip(parts, meshes, places, times, strict=True):
        write_vtp(mesh, place)
        beyond = f", {mesh.n_clipped} cut off" if mesh.n_clipped else ""
        print(f"{place}: time {when:g}, {surface.path}, {len(mesh.points)} points{beyond}")
    write_series(places, times, options.series)
    print(options.series)
    if options.paraview:
        time = "line" if repeats else word_of(options.surfaces)
        shape = shown["heights"], shown["scale"]
        show(parts, meshes, {}, options.series, options, *shape, time=time)


def write_mesh(mesh: Mesh, out: Path, *, watertight: bool) -> None:
    """Write a mesh in the format of its file's suffix."""
    from landscape_mpi.views.mesh import write_vtp
    from landscape_mpi.views.solid import write_solid

    if out.suffix.lower() == ".vtp":
        write_vtp(mesh, out)
    else:
        write_solid(mesh, out, watertight=watertight)


def check_is_surface(surface: Surface) -> None:
    """Check that a surface can become a mesh.

    Raises:
        InputError: If the file holds lines without a common plane.
    """
    if surface.has_repeats:
        raise InputError(
            f"{surface.path}: holds {surface.shape[1]} lines along separate directions, which do "
            f"not form a surface. Draw them: {typed('plot')} {surface.path}; or pass "
            "--series NAME.pvd for a mesh of each line of --repeats."
        )


def describe(
    mesh: Mesh, heights: Heights, asked: tuple[float | None, float | None] | None
) -> list[str]:
    """Describe the mesh: its sizes, height and ranges.

    Args:
        mesh: The mesh.
        heights: The map from values to heights, with its ends.
        asked: The ends that --range asks for; None if it is not given.
    """
    import numpy as np

    from landscape_mpi.views.number_text import span_text

    z = mesh.points[:, 2]
    lines = [
        f"{len(mesh.points)} points, {mesh.n_cells} cells",
        f"height: {mesh.height}, {span_text(z)}",
    ]
    if mesh.n_clipped:
        given = asked or (None, None)
        ends = (heights.low, heights.high)
        chosen = [
            f"{e:g}" for e, own in zip(ends, given, strict=True) if own is None and e is not None
        ]
        end = " or ".join(chosen) + ", where they would flatten the rest" if chosen else "--range"
        lines.append(f"points beyond {end}: {mesh.n_clipped}")
    if mesh.n_left_out:
        lines.append(
            f"points left out with their cells, because they are not finite: {mesh.n_left_out}"
        )
    for name, values in mesh.values.items():
        finite = values[np.isfinite(values)]
        span = span_text(finite) if len(finite) else "nothing finite"
        lines.append(f"{name} ({mesh.units[name]}): {span}")
    return lines
