"""What a value of the graph is: axes as runs of image rows, columns or channels, and how far an element sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

__all__ = ["Atom", "Axes", "View", "aligned", "plain", "regroup"]


@dataclass(frozen=True)
class Atom:
    """A run of positions inside one axis: along rows (0), columns (1) or neither (None)."""

    dim: int | None
    num: int
    jump: int = 0


Axes = tuple[tuple[Atom, ...], ...]


@dataclass(frozen=True)
class View:
    """What one value is: how many image rows and columns an element sees, and what its axes run over."""

    size: tuple[int, int]
    axes: Axes
    pooled: frozenset[str] = frozenset()
    """How rows and columns were removed since the last map: average, max, weighted, other."""
    exact: bool = True

    @property
    def num_positions(self) -> tuple[int, int]:
        """Rows and columns of the map that are left."""
        atoms = [atom for axis in self.axes for atom in axis]
        return prod(a.num for a in atoms if a.dim == 0), prod(a.num for a in atoms if a.dim == 1)

    @property
    def is_map(self) -> bool:
        return max(self.num_positions) > 1

    def mixed(self, axes: list[int]) -> View:
        """Every element now sees whatever any position along these axes saw."""
        size = list(self.size)
        for axis in axes:
            for atom in self.axes[axis]:
                if atom.dim is not None:
                    size[atom.dim] += (atom.num - 1) * atom.jump
        return replace(self, size=(size[0], size[1]))

    def without(self, axes: list[int], how: str, *, keepdim: bool) -> View:
        """These axes are reduced to one element each."""
        seen = self.mixed(axes)
        if any(atom.dim is not None for axis in axes for atom in self.axes[axis]):
            seen = replace(seen, pooled=seen.pooled | {how})
        left = [() if i in axes else axis for i, axis in enumerate(self.axes) if keepdim or i not in axes]
        return replace(seen, axes=tuple(left))

    def give_up(self, shape: tuple[int, ...]) -> View:
        """An operation that we do not know: assume that everything was mixed, and say that it is an assumption."""
        return replace(self.without(list(range(len(self.axes))), "other", keepdim=True), axes=plain(shape), exact=False)


def plain(shape: tuple[int, ...]) -> Axes:
    """Axes that run over channels or the batch only."""
    return tuple((Atom(None, num),) if num > 1 else () for num in shape)


def regroup(axes: Axes, shape: tuple[int, ...]) -> Axes | None:
    """The same atoms in order, cut into axes of these lengths; None when the cuts do not fall between positions."""
    atoms = [atom for axis in axes for atom in axis]
    grouped: list[tuple[Atom, ...]] = []
    for num in shape:
        axis: list[Atom] = []
        while num > 1:
            if not atoms:
                return None
            atom = atoms.pop(0)
            if num % atom.num == 0:
                axis.append(atom)
                num //= atom.num
            elif atom.num % num == 0:
                inner = atom.num // num
                axis.append(replace(atom, num=num, jump=atom.jump * inner))
                atoms.insert(0, replace(atom, num=inner))
                num = 1
            else:
                return None
        grouped.append(tuple(axis))
    return tuple(grouped)


def aligned(view: View, shape: tuple[int, ...], step: int = 1) -> Axes:
    """Axes of another length: the same run of positions, shorter, longer or with gaps."""
    axes: list[tuple[Atom, ...]] = []
    for i, num in enumerate(shape):
        axis = view.axes[i] if i < len(view.axes) else ()
        if prod(atom.num for atom in axis) == num:
            axes.append(axis)
        elif len(axis) == 1 and axis[0].dim is not None and num > 1:
            axes.append((Atom(axis[0].dim, num, axis[0].jump * step),))
        else:
            axes.append(plain((num,))[0])
    return tuple(axes)
