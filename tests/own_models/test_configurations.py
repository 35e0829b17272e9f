"""Objects of the user's own are copied whole, and told apart by what they compute."""

import functools

import keras
import numpy as np
import pytest

from tflottery.own_models import problem, update_loop
from tflottery.own_models.configurations import copied, plain

X = np.random.default_rng(0).normal(size=(48, 6)).astype(np.float32)
DATA = (X, X[:, 0])


def _dense(**settings):
    return keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(1, name="only", **settings)]
    )


def _scaled(factor):
    return lambda values: factor * values


class _Times(keras.losses.Loss):
    """Of a factor that no configuration tells."""

    def __init__(self, factor):
        super().__init__()
        self.times = factor

    def call(self, y_true, y_pred):
        return self.times * (y_true - y_pred) ** 2

    def method(self, y_true, y_pred):
        return self.call(y_true, y_pred)


def _loop(build_model=_dense, *, loss="mse", **options):
    options = {"optimizer": "adam", "metrics": (), "unpruned": ()} | options
    return update_loop.UpdateLoop(
        problem.of_arguments(
            build_model, DATA, test_data=DATA, loss=loss, batch_size=16, **options
        )
    )


@pytest.mark.slow
def test_what_no_configuration_tells_is_another_problem():
    decaying = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    keys = [
        _loop().key,
        _loop(lambda: _dense(kernel_regularizer="l2")).key,
        _loop(lambda: _dense(activation=_scaled(2.0))).key,
        _loop(lambda: _dense(activation=_scaled(3.0))).key,
        _loop(loss=_Times(2.0)).key,
        _loop(loss=_Times(3.0)).key,
        _loop(optimizer=decaying).key,
    ]
    decaying.exclude_from_weight_decay(var_names=["kernel"])
    keys.append(_loop(optimizer=decaying).key)
    assert len(set(keys)) == len(keys)
    # Whether weights may be pruned is no part of it: a dense training is the same.
    assert _loop(unpruned=None).key == keys[0]


_factor = 1.0


def _of_a_global(y_true, y_pred):
    return _factor * _helping(y_true, y_pred)


def _helping(y_true, y_pred):
    return (y_true - y_pred) ** 2


def _of_a_default(y_true, y_pred, *, delta=0.5):
    return delta * (y_true - y_pred)


def _countdown(number):
    def down(step):
        return step and down(step - number)

    return down


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Registered nowhere."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate * keras.ops.cast(step + 1, "float32")

    def get_config(self):
        return {"rate": self.rate}


def test_functions_count_by_code_and_by_all_that_they_get_from_around(monkeypatch):
    found = [plain(_of_a_global), plain(_of_a_default)]
    assert plain(_of_a_global) == found[0]
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "_factor", 5.0)
        found.append(plain(_of_a_global))
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "_helping", _of_a_default)
        found.append(plain(_of_a_global))
    monkeypatch.setattr(_of_a_default, "__kwdefaults__", {"delta": 2.0})
    found.append(plain(_of_a_default))
    # Those that name themselves come to an end, too.
    found += [plain(_countdown(1)), plain(_countdown(2))]
    found += [plain(functools.partial(_of_a_default, delta=d)) for d in (1, 2)]
    assert len({repr(one) for one in found}) == len(found)
    # A class of one's own is not Keras's of the same name.
    own = type("Adam", (keras.optimizers.Adam,), {"__module__": "mine"})
    assert plain(own()) != plain(keras.optimizers.Adam())
    # The order of a set is another in each process.
    assert plain({"b", "a"}) == ["'a'", "'b'"]


def _rate(file, *, late):
    """Returns a function as of a cell of a notebook, which is a file of its process."""
    space = {"__name__": "__main__"}
    source = f"def rate(at=1): return 0.1 if at in {{2, 3}} else {late}"
    exec(compile(source, file, "exec"), space)
    return space["rate"]


def test_code_is_the_same_wherever_it_stands():
    rates = [_rate("a.py", late=0.2), _rate("/tmp/b", late=0.2), _rate("c", late=0.3)]
    one, same, other = (plain(keras.optimizers.SGD(rate)) for rate in rates)
    assert one == same != other


def test_schedules_and_functions_of_ones_own_are_in_copies():
    copy = copied(keras.optimizers.Adam(Warmup(0.5), beta_1=0.7))
    assert (copy._learning_rate.rate, copy.beta_1) == (0.5, 0.7)
    assert plain(copy) != plain(keras.optimizers.Adam(Warmup(0.6), beta_1=0.7))
    rate = _scaled(3.0)
    assert copied(keras.optimizers.SGD(rate))._learning_rate is rate
    metric = keras.metrics.MeanMetricWrapper(_helping, name="mine")
    copy = copied(metric)
    assert copy.name == "mine" and copy is not metric
    assert copy(np.ones((2, 1)), np.zeros((2, 1))) == 1
    assert plain(metric) != plain(keras.metrics.MeanMetricWrapper(_of_a_default))
    # Numbers that Keras gave are another process's tomorrow.
    second = [keras.metrics.AUC(), keras.metrics.AUC()][1]
    with problem.numbered_anew():
        assert copied(second).name == "auc"
    assert copied(keras.metrics.AUC(name="top_5")).name == "top_5"


class _Above(keras.metrics.Mean):
    def __init__(self, least, name="above"):
        super().__init__(name=name)
        self.at_least = least


class _Top(keras.metrics.Mean):
    def __init__(self, k=5, name="top"):
        super().__init__(name=name)
        self.k = k


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (_Above(0.3), r"_Above was made with \['least'\]"),
        (_Top(10), r"_Top was made with \['k'\]"),
        (keras.metrics.CosineSimilarity(axis=0), r"was made with \['axis'\]"),
        (keras.optimizers.Adam(use_ema=True), "use_ema=True"),
    ],
)
def test_what_a_copy_would_lose_is_refused(one, message):
    with pytest.raises(ValueError, match=message):
        copied(one)


def test_metrics_whose_arguments_are_as_usual_are_copied():
    for one in (
        _Top(),
        keras.metrics.AUC(thresholds=[0.2, 0.5]),
        keras.metrics.AUC(),
        keras.metrics.CosineSimilarity(),
        keras.metrics.F1Score(average="macro"),
        keras.metrics.MeanIoU(num_classes=3),
        keras.metrics.TopKCategoricalAccuracy(k=2),
        keras.metrics.Precision(),
    ):
        with problem.numbered_anew():
            config = copied(one).get_config()
        assert config | {"name": one.name} == one.get_config()
