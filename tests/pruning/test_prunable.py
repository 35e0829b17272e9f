"""Which kernels are pruned, with the counts of the papers' networks."""

import math

import pytest

from tflottery.pruning.prunable import prunable

_LENET = {
    "dense_1/kernel": (784, 300),
    "dense_2/kernel": (300, 100),
    "head/kernel": (100, 10),
}
_BRANCHED = {
    "stem/kernel": (7, 7, 3, 64),
    "block/conv_1/kernel": (3, 3, 64, 128),
    "block/conv_2/kernel": (3, 3, 128, 128),
    "block/projection/kernel": (1, 1, 64, 128),
    "hidden/kernel": (128, 64),
    "late/kernel": (3, 3, 128, 128),
    "head/kernel": (64, 10),
}


def _vgg16():
    shapes, inputs = {}, 3
    plan = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    for index, filters in enumerate(plan, start=1):
        shapes[f"conv_{index}/kernel"] = (3, 3, inputs, filters)
        inputs = filters
    return shapes | {"head/kernel": (512, 10)}


def _resnet20():
    shapes, inputs = {"stem/kernel": (3, 3, 3, 16)}, 16
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in range(1, 4):
            name = f"stage_{stage}_block_{block}"
            shapes[f"{name}_conv_1/kernel"] = (3, 3, inputs, filters)
            shapes[f"{name}_conv_2/kernel"] = (3, 3, filters, filters)
            if inputs != filters:
                shapes[f"{name}_projection/kernel"] = (1, 1, inputs, filters)
            inputs = filters
    return shapes | {"head/kernel": (64, 10)}


@pytest.mark.parametrize(
    ("shapes", "unpruned", "expected"),
    [
        (_LENET, (), 266_200),
        (_resnet20(), (), 270_896),
        (_resnet20(), ("head",), 270_256),
        (_vgg16(), ("head",), 14_710_464),
        (_vgg16(), (), 14_715_584),
    ],
)
def test_counts_of_the_networks(shapes, unpruned, expected):
    paths = prunable(shapes, unpruned=unpruned)
    assert sum(math.prod(shapes[path]) for path in paths) == expected


def test_every_kernel_in_network_order_by_default():
    assert prunable(_BRANCHED) == tuple(_BRANCHED)
    turned = dict(reversed(_BRANCHED.items()))
    assert prunable(turned) == tuple(turned)


def test_layers_are_left_out_by_name():
    found = prunable(_BRANCHED, unpruned=["head", "block/conv_1"])
    assert found == (
        "stem/kernel",
        "block/conv_2/kernel",
        "block/projection/kernel",
        "hidden/kernel",
        "late/kernel",
    )


@pytest.mark.parametrize("count", [1, 4, 5])
def test_first_convolutions_and_nothing_else(count):
    convolutions = tuple(path for path in _BRANCHED if len(_BRANCHED[path]) == 4)
    assert prunable(_BRANCHED, first_convolutions=count) == convolutions[:count]


def test_first_convolutions_count_those_left_out():
    found = prunable(_BRANCHED, unpruned=("stem", "head"), first_convolutions=2)
    assert found == ("block/conv_1/kernel",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unpruned": ["haed"]}, r"\['haed'\]\. Known: stem, block/conv_1, .*, head\."),
        ({"unpruned": ["head/kernel"]}, r"\['head/kernel'\]\. Known: stem"),
        ({"unpruned": "head"}, r"text 'head', expected several layers"),
        ({"first_convolutions": 6}, r"first 6 convolutions .* from 1 to 5"),
        ({"first_convolutions": 0}, r"first 0 convolutions .* from 1 to 5"),
        (
            {"first_convolutions": 1.0},
            r"first 1\.0 convolutions .*a number from 1 to 5",
        ),
        (
            {"unpruned": ["stem"], "first_convolutions": 1},
            r"Nothing is left .*\['stem'\].*first_convolutions=1.*at least one",
        ),
    ],
)
def test_mistakes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        prunable(_BRANCHED, **arguments)


def test_networks_without_kernels_or_convolutions_are_refused():
    with pytest.raises(
        ValueError, match=r"has no kernels that can be pruned.*MaskedDense"
    ):
        prunable({})
    with pytest.raises(ValueError, match=r"Nothing is left"):
        prunable(_LENET, unpruned=("dense_1", "dense_2", "head"))
    with pytest.raises(
        ValueError, match=r"first 1 .* this network has no convolutions"
    ):
        prunable(_LENET, first_convolutions=1)
    with pytest.raises(ValueError, match=r"\['head/bias'\], expected kernels only"):
        prunable(_LENET | {"head/bias": (10,)})
