"""Which kernels are pruned: a property of the network and of a paper's variant.

Biases and batch norm are never pruned. *Linear Mode Connectivity* and *The Early Phase*
prune every kernel but VGG's last; *Finding Winning Tickets with Limited (or No)
Supervision* leaves out the last layer of every network (Section 3.2), and prunes only
the first convolutions in its layerwise experiments (Appendix C).
"""

import numbers
from collections.abc import Collection, Mapping

_KERNEL = "/kernel"
# height, width, channels, filters
_CONVOLUTION_RANK = 4


def prunable(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    unpruned: Collection[str] = (),
    first_convolutions: int | None = None,
) -> tuple[str, ...]:
    """Returns the paths of the kernels that are pruned, in network order.

    Args:
      shapes: all kernels that can be masked, in network order, by path: "head/kernel"
        for the layer "head".
      unpruned: layers whose kernels are left out, such as a recipe's `unpruned`.
      first_convolutions: n prunes only the first n convolutions, and nothing else.
        Every convolution counts, 1x1 projections and those in `unpruned` included.
        None prunes kernels of every kind.

    Raises:
      ValueError: a path is not a kernel's, a layer is not in the network, there are not
        so many convolutions, or nothing is left to prune.
    """
    _refuse_others_than_kernels(shapes)
    left_out = _paths_of(unpruned, shapes)
    candidates = (
        shapes
        if first_convolutions is None
        else _first_convolutions(shapes, first_convolutions)
    )
    chosen = tuple(path for path in candidates if path not in left_out)
    if not shapes:
        raise ValueError(
            "The network has no kernels that can be pruned: these are those of "
            "layers.MaskedDense, layers.MaskedConv2D and their like."
        )
    if not chosen:
        raise ValueError(
            f"Nothing is left to prune with unpruned={sorted(unpruned)!r} and "
            f"first_convolutions={first_convolutions!r} of the kernels {list(shapes)}, "
            "expected at least one."
        )
    return chosen


def _refuse_others_than_kernels(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ValueError for a path that does not end as a kernel's."""
    others = [path for path in shapes if not path.endswith(_KERNEL)]
    if others:
        raise ValueError(
            f"shapes has {others}, expected kernels only, as '<layer>{_KERNEL}'."
        )


def _paths_of(
    layers: Collection[str], shapes: Mapping[str, tuple[int, ...]]
) -> set[str]:
    """Returns the kernel paths of these layers, all of which have to exist."""
    if isinstance(layers, str):
        raise ValueError(f"unpruned is the text {layers!r}, expected several layers.")
    known = {path.removesuffix(_KERNEL): path for path in shapes}
    unknown = sorted(set(layers) - known.keys())
    if unknown:
        raise ValueError(
            f"unpruned names layers that the network does not have: {unknown}. Known: "
            f"{', '.join(known)}."
        )
    return {known[layer] for layer in layers}


def _first_convolutions(
    shapes: Mapping[str, tuple[int, ...]], count: int
) -> tuple[str, ...]:
    """Returns the paths of the first `count` convolutions, in network order."""
    convolutions = [
        path for path, shape in shapes.items() if len(shape) == _CONVOLUTION_RANK
    ]
    if not convolutions:
        raise ValueError(
            f"The first {count!r} convolutions alone are to be pruned, but this network"
            f" has no convolutions; its kernels are {list(shapes)}."
        )
    if not isinstance(count, numbers.Integral) or not 1 <= count <= len(convolutions):
        raise ValueError(
            f"The first {count!r} convolutions are to be pruned alone; expected is a "
            f"number from 1 to {len(convolutions)}, the convolutions of this network."
        )
    return tuple(convolutions[:count])
