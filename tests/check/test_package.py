"""The package's own models, data sets and so on under the contracts users' are."""

import importlib
import itertools
import pkgutil

import pytest

import tflottery.experiments
from tflottery.check import __main__ as tool
from tflottery.check import criteria, experiments, pretexts
from tflottery.core.registry import PRETEXTS

_EXPERIMENTS = [
    f"tflottery.experiments.{found.name}"
    for found in pkgutil.iter_modules(tflottery.experiments.__path__)
]
# Of networks one of each family, of data sets the one that is embedded.
_NAMES = {"models": ("lenet", "resnet20"), "datasets": ("digits",)}
_SLOW = {
    (name, pretexts.is_the_same_eagerly_in_a_graph_in_xla_and_in_tf_data)
    for name in PRETEXTS.names()
    if name != "rotation"
} | {
    # It reads the network a hundred times a level.
    ("synflow", criteria.prunes_exact_counts_and_revives_nothing),
    ("synflow", criteria.reads_the_seed_only_if_it_says_so),
}


def _cases():
    for kind, registry in tool.REGISTRIES.items():
        checks = importlib.import_module(f"tflottery.check.{kind}").CHECKS
        for name, check in itertools.product(
            _NAMES.get(kind, registry.names()), checks
        ):
            # Compiled in four forms, read many times, or many layers built.
            slow = (name, check) in _SLOW or name == "resnet20"
            marks = pytest.mark.slow if slow else ()
            yield pytest.param(check, name, id=f"{name}-{check.__name__}", marks=marks)
    for name, check in itertools.product(_EXPERIMENTS, experiments.CHECKS):
        short = name.rpartition(".")[2]
        yield pytest.param(check, name, id=f"{short}-{check.__name__}")


@pytest.mark.parametrize(("check", "name"), list(_cases()))
def test_contract(check, name):
    told = check(name)
    assert told is None or isinstance(told, str)
