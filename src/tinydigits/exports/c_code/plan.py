"""Where each tensor lies in the scratch memory: tensors that never live at the same time share bytes."""

from __future__ import annotations

from tinydigits.exports.c_code.graph import Graph

__all__ = ["plan"]


def plan(graph: Graph, *, needs_image: bool) -> tuple[dict[str, int], int]:
    """Each tensor's offset in elements, and the size of the whole; the largest tensors are placed first.

    `needs_image` gives the image a place of its own, where it is converted first.
    """
    names = ([graph.image] if needs_image else []) + [node.output for node in graph.nodes]
    born = {name: step for step, name in enumerate(names)}
    last = {name: max((born[node.output] for node in graph.consumers(name)), default=len(names)) for name in names}
    sizes = {name: graph.shapes[name][0] * graph.shapes[name][1] * graph.shapes[name][2] for name in names}
    offsets: dict[str, int] = {}
    for name in sorted(names, key=lambda name: (-sizes[name], born[name])):
        neighbours = sorted(
            (offsets[other], offsets[other] + sizes[other])
            for other in offsets
            if born[other] <= last[name] and born[name] <= last[other]
        )
        place = 0
        for start, end in neighbours:
            if place + sizes[name] <= start:
                break
            place = max(place, end)
        offsets[name] = place
    return offsets, max(offsets[name] + sizes[name] for name in names)
