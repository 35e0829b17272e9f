"""The package's own models, data sets and so on under the contracts users' are."""

import importlib
import itertools

import pytest

from tflottery.check import __main__ as tool
from tflottery.check import experiments

_EXPERIMENTS = ("effective_noise", "instability", "lottery", "perturbation")
_EXPERIMENTS += ("pretraining", "table1", "telemetry")
# Of networks one of each family, of data sets the one that is embedded.
_NAMES = {"models": ("lenet", "resnet20"), "datasets": ("digits",)}


def _cases():
    for kind, registry in tool.REGISTRIES.items():
        checks = importlib.import_module(f"tflottery.check.{kind}").CHECKS
        for name, check in itertools.product(
            _NAMES.get(kind, registry.names()), checks
        ):
            yield pytest.param(check, name, id=f"{name}-{check.__name__}")
    for name, check in itertools.product(_EXPERIMENTS, experiments.CHECKS):
        full = f"tflottery.experiments.{name}"
        yield pytest.param(check, full, id=f"{name}-{check.__name__}")


@pytest.mark.parametrize(("check", "name"), list(_cases()))
def test_contract(check, name):
    assert check(name) is None or isinstance(check(name), str)
