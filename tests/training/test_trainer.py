"""The loop: cut without a trace, masked, mirrored, stopped when it diverges."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.core.registry import MODELS
from tflottery.datasets import pipeline
from tflottery.models import weights as model_weights
from tflottery.training import checkpoints, optimizers
from tflottery.training.callbacks import WeightSnapshot
from tflottery.training.trainer import Diverged

_LAST = 12
# What XLA compiles by Adam, what is a graph by SGD; the rest takes seconds to compile.
_kinds = pytest.mark.parametrize(
    "kind",
    [
        "lenet_adam",
        "small_conv",
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in ("lenet_sgd", "resnet20")
        ),
    ],
)


def _place(trainer, weights=None, *, slots=None, at=0, first=0, masks=None):
    trainer.restore(
        trainer.initial_weights(1) if weights is None else weights,
        masks=masks or {},
        slots=slots,
        iteration=at,
        first_iteration=first,
    )


def _assert_same_bits(one, two):
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert value.tobytes() == two[name].tobytes(), name


def _assert_same_states(one, two):
    for mine, theirs in zip(one, two, strict=True):
        _assert_same_bits(mine, theirs)


def _assert_close(one, two, *, rtol, atol):
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], rtol, atol, err_msg=name)


def _through_disk(state, folder):
    checkpoints.write(folder, state[0], slots=state[1])
    return checkpoints.read_weights(folder), checkpoints.read_slots(folder)


def _trained(trainer, stream, cuts, *, folder, first=0):
    """Returns the state after training up to each cut, placed anew after each."""
    _place(trainer, at=first, first=first)
    for cut in cuts:
        assert trainer.train(stream(trainer), cut) == cut
        weights, slots = _through_disk(trainer.state(), folder)
        _place(trainer, weights, slots=slots, at=cut, first=first)
    return trainer.state()


@_kinds
def test_resumed_equals_unbroken_wherever_it_is_cut(kind, trainers, tmp_path):
    trainer, stream = trainers(kind), trainers.stream
    unbroken = _trained(trainer, stream, [_LAST], folder=tmp_path)
    for cut in (1, 2, 7, _LAST - 1):
        resumed = _trained(trainer, stream, [cut, _LAST], folder=tmp_path)
        _assert_same_states(resumed, unbroken)
    everywhere = _trained(trainer, stream, range(1, _LAST + 1), folder=tmp_path)
    _assert_same_states(everywhere, unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lenet_adam", "small_conv"])
def test_resumed_in_another_trainer_equals_unbroken(kind, trainers, tmp_path):
    stream = trainers.stream
    unbroken = _trained(trainers(kind), stream, [_LAST], folder=tmp_path)
    _trained(trainers(kind), stream, [5], folder=tmp_path)
    other = trainers(kind, again=1)
    _place(
        other,
        checkpoints.read_weights(tmp_path),
        slots=checkpoints.read_slots(tmp_path),
        at=5,
    )
    other.train(stream(other), _LAST)
    _assert_same_states(other.state(), unbroken)


@pytest.mark.parametrize("kind", ["lenet_adam", "small_conv"])
def test_branch_resumed_equals_unbroken(kind, trainers, tmp_path):
    trainer, stream = trainers(kind), trainers.stream
    unbroken = _trained(trainer, stream, [15], first=7, folder=tmp_path)
    resumed = _trained(trainer, stream, [8, 11, 15], first=7, folder=tmp_path)
    _assert_same_states(resumed, unbroken)
    from_zero = _trained(trainer, stream, [8], folder=tmp_path)
    assert not np.array_equal(from_zero[0]["head/kernel"], unbroken[0]["head/kernel"])


def test_order_and_augmentation_make_a_difference(trainers, tmp_path):
    trainer = trainers("small_conv")
    plain = trainers("small_conv", augmentation="none")
    stream = trainers.stream

    def other_order(trainer):
        return stream(trainer, data_order=1)

    states = [
        _trained(trainer, stream, [3], folder=tmp_path),
        _trained(trainer, other_order, [3], folder=tmp_path),
        _trained(plain, stream, [3], folder=tmp_path),
    ]
    kernels = {weights["conv_1/kernel"].tobytes() for weights, _ in states}
    assert len(kernels) == 3


def test_more_iterations_than_a_call_has_room_for(trainers, tmp_path):
    trainer, stream = trainers("lenet_adam"), trainers.stream
    unbroken = _trained(trainer, stream, [600], folder=tmp_path)
    assert optimizers.iteration(trainer.optimizer) == 600
    _place(trainer)
    advance = trainer.calls(stream(trainer), 0, dropout_seed=None)
    for first in range(0, 600, 100):
        advance(first, 100)
    _assert_same_states(trainer.state(), unbroken)


def test_a_state_is_not_changed_by_training_on(trainers):
    trainer = trainers("small_conv")
    _place(trainer)
    trainer.train(trainers.stream(trainer), 2)
    state = trainer.state()
    copies = [{name: value.copy() for name, value in part.items()} for part in state]
    trainer.train(trainers.stream(trainer), 4)
    _assert_same_states(state, copies)
    assert not np.array_equal(trainer.state()[0]["head/bias"], state[0]["head/bias"])


# At the lower rates it takes several iterations until something overflows.
@pytest.mark.parametrize(
    ("kind", "rate"),
    [
        pytest.param("lenet_sgd", 1e4, marks=pytest.mark.slow),
        ("small_conv", 1e10),
    ],
)
def test_divergence_shows_at_one_iteration_however_it_is_cut(kind, rate, trainers):
    trainer = trainers(kind, learning_rate=rate, warmup=0, milestones=())

    def diverged(cuts):
        _place(trainer)
        with pytest.raises(Diverged) as caught:
            for cut in [*cuts, _LAST]:
                trainer.train(trainers.stream(trainer), cut)
                weights, slots = trainer.state()
                _place(trainer, weights, slots=slots, at=cut)
        return caught.value.iteration

    iteration = diverged([])
    assert 0 < iteration < _LAST
    assert diverged(range(1, _LAST)) == iteration
    around = {1, 2, iteration - 1, iteration, iteration + 1} - {0}
    assert {diverged([cut]) for cut in around} == {iteration}


@pytest.mark.parametrize("data_order", [0, 1, 2, 3])
def test_overflow_of_statistics_shows_at_one_iteration(data_order, trainers):
    """An infinite variance leaves the loss finite: batch norm divides by it."""
    settings = {"learning_rate": 1e4, "weight_decay": 0.0, "augmentation": "none"}
    trainer = trainers("small_conv", warmup=0, milestones=(), **settings)
    found = set()
    for cuts in ([], range(1, 20)):
        _place(trainer)
        with pytest.raises(Diverged) as caught:
            for cut in [*cuts, 20]:
                trainer.train(trainers.stream(trainer, data_order=data_order), cut)
                trainer.state()
        found.add(caught.value.iteration)
    assert len(found) == 1


def test_divergence_says_where(trainers):
    error = Diverged(17)
    assert error.iteration == 17 and "not finite at iteration 17" in str(error)
    trainer = trainers("lenet_sgd")
    weights = trainer.initial_weights(1)
    weights["head/bias"][3] = np.inf
    _place(trainer, weights, at=5)
    with pytest.raises(Diverged, match="iteration 5"):
        trainer.state()


def _masks(trainer):
    generator = np.random.default_rng(0)
    return {
        path: (generator.random(mask.shape) < 0.3).astype(np.float32)
        for path, mask in layers.masks(trainer.model).items()
    }


def _assert_pruned(arrays, masks, *, prefix=""):
    for path, mask in masks.items():
        value = arrays[prefix + path]
        # Bytes, because -0.0 equals 0.0.
        assert not value[mask == 0].tobytes().strip(b"\0"), prefix + path
        assert (value[mask == 1] != 0).mean() > 0.1, prefix + path


@_kinds
@pytest.mark.parametrize("carried", [False, True])
def test_pruned_weights_are_exactly_zero(kind, carried, trainers):
    trainer = trainers(kind, sparse=True)
    _place(trainer)
    trainer.train(trainers.stream(trainer), 5)
    weights, slots = trainer.state()
    masks = _masks(trainer)
    _place(
        trainer, weights, masks=masks, at=5, first=5, slots=slots if carried else None
    )
    placed, placed_slots = trainer.state()
    _assert_pruned(placed, masks)
    for name, value in placed_slots.items():
        assert carried == bool(value.any()), name
    trainer.train(trainers.stream(trainer, data_order=1), _LAST)
    after, after_slots = trainer.state()
    _assert_pruned(after, masks)
    for kind_ in {name.split("/", 1)[0] for name in after_slots}:
        _assert_pruned(after_slots, masks, prefix=f"{kind_}/")
    assert any((after[path] != placed[path]).any() for path in masks)
    # What was given has not been changed in place.
    assert all((weights[path][mask == 0] != 0).any() for path, mask in masks.items())
    _place(trainer)
    assert all(mask.all() for mask in layers.masks(trainer.model).values())


# The one is compiled by XLA, the other trained by SGD.
@pytest.mark.parametrize(
    "kind", [pytest.param("lenet_adam", marks=pytest.mark.slow), "small_conv"]
)
def test_a_sparse_run_is_that_of_kernels_times_masks(kind, trainers, monkeypatch):
    """The loop masks gradients alone, for speed; products mask the forward pass too."""
    fast = trainers(kind, sparse=True)
    masks = _masks(fast)
    monkeypatch.setattr(layers.masked, "mask_gradients_only", lambda model: None)
    plain = trainers.make(kind, strategy=None, sparse=True)
    assert {one.mask_use for one in layers.masked_layers(plain.model)} == {"product"}
    states = []
    for trainer in (fast, plain):
        _place(trainer, masks=masks)
        trainer.train(trainers.stream(trainer), _LAST)
        states.append(trainer.state()[0])
        _assert_pruned(states[-1], masks)
    _assert_close(*states, rtol=1e-4, atol=2e-5)
    start = fast.initial_weights(1)["head/kernel"] * masks["head/kernel"]
    assert np.abs(states[0]["head/kernel"] - start).max() > 1e-2


@pytest.mark.parametrize("kind", ["lenet_adam", "small_conv"])
def test_masks_that_prune_nothing_are_a_dense_run_up_to_rounding(kind, trainers):
    states = []
    for sparse in (False, True):
        trainer = trainers(kind, sparse=sparse)
        _place(trainer)
        trainer.train(trainers.stream(trainer), _LAST)
        states.append(trainer.state()[0])
    _assert_close(*states, rtol=1e-4, atol=2e-5)


def test_masks_of_a_dense_trainer_are_refused(trainers):
    trainer = trainers("lenet_sgd")
    with pytest.raises(ValueError, match="'lenet' ignores the masks"):
        _place(trainer, masks=_masks(trainer))


@pytest.mark.parametrize("kind", ["lenet_adam", "small_conv"])
def test_sparse_run_resumed_equals_unbroken(kind, trainers, tmp_path):
    trainer = trainers(kind, sparse=True)
    masks = _masks(trainer)

    def trained(cuts):
        _place(trainer, masks=masks)
        for cut in cuts:
            trainer.train(trainers.stream(trainer), cut)
            weights, slots = _through_disk(trainer.state(), tmp_path)
            _place(trainer, weights, slots=slots, at=cut, masks=masks)
        return trainer.state()

    _assert_same_states(trained([1, 7, _LAST]), trained([_LAST]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "tolerance"), [("lenet_sgd", 1e-6), ("lenet_adam", 2e-5)]
)
def test_two_devices_equal_one_up_to_rounding(kind, tolerance, trainers, mirrored):
    """Weights are of the order of 0.1; Adam's first steps amplify rounding."""
    states = []
    for strategy in (None, mirrored):
        trainer = trainers(kind, strategy=strategy, sparse=True)
        _place(trainer, masks=_masks(trainer))
        trainer.train(trainers.stream(trainer), _LAST)
        states.append(trainer.state())
        _assert_pruned(states[-1][0], _masks(trainer))
    _assert_close(states[0][0], states[1][0], rtol=0, atol=tolerance)
    start = trainer.initial_weights(1)["dense_1/kernel"]
    moved = np.abs(states[0][0]["dense_1/kernel"] - start).max()
    assert moved > 100 * tolerance


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lenet_adam", "small_conv"])
def test_two_devices_resumed_equal_unbroken(kind, trainers, mirrored, tmp_path):
    trainer = trainers(kind, strategy=mirrored, sparse=True)
    stream = trainers.stream
    unbroken = _trained(trainer, stream, [6], folder=tmp_path)
    resumed = _trained(trainer, stream, [1, 4, 6], folder=tmp_path)
    _assert_same_states(resumed, unbroken)


class _Points(keras.callbacks.Callback):
    """Notes when it is called, and with what."""

    def __init__(self, iterations, *, stop_at=None):
        super().__init__()
        self.iterations = frozenset(iterations)
        self.stop_at = stop_at
        self.seen = {}

    def on_train_batch_end(self, batch, logs=None):
        iteration = optimizers.iteration(self.model.optimizer)
        assert batch == iteration - 1
        self.seen[iteration] = logs["loss"]
        if iteration == self.stop_at:
            self.model.stop_training = True


def test_callbacks_are_called_at_every_point_they_ask_for(trainers):
    trainer = trainers("small_conv")
    saved = []
    snapshot = WeightSnapshot([0, 3, 4, 9, 99], lambda t, model: saved.append(t))
    points = _Points([5, 9])
    _place(trainer)
    reached = trainer.train(
        trainers.stream(trainer), _LAST, callbacks=[snapshot, points]
    )
    assert reached == _LAST
    assert saved == [0, 3, 4, 9]
    assert snapshot.missing == (99,)
    assert {3, 4, 5, 9, _LAST} <= points.seen.keys()
    assert all(isinstance(loss, float) for loss in points.seen.values())


def test_a_callback_stops_the_training_and_it_goes_on(trainers, tmp_path):
    trainer, stream = trainers("small_conv"), trainers.stream
    unbroken = _trained(trainer, stream, [_LAST], folder=tmp_path)
    _place(trainer)
    points = _Points([4], stop_at=4)
    assert trainer.train(stream(trainer), _LAST, callbacks=[points]) == 4
    assert max(points.seen) == 4 == optimizers.iteration(trainer.optimizer)
    assert trainer.train(stream(trainer), _LAST) == _LAST
    _assert_same_states(trainer.state(), unbroken)


def test_trained_already_is_nothing_to_do(trainers):
    trainer = trainers("small_conv")
    _place(trainer, at=7)
    before = trainer.state()
    saved = []
    snapshot = WeightSnapshot([7], lambda t, model: saved.append(t))
    assert trainer.train(trainers.stream(trainer), 7, callbacks=[snapshot]) == 7
    assert saved == [7]
    _assert_same_states(trainer.state(), before)


@pytest.mark.parametrize("distributed", [False, True])
def test_loss_is_the_mean_over_the_global_batch(distributed, trainers, request):
    strategy = request.getfixturevalue("mirrored") if distributed else None
    trainer = trainers("lenet_adam", strategy=strategy, sparse=True)
    _place(trainer)
    weights = trainer.initial_weights(1)
    points = _Points([1])
    stream = trainers.stream(trainer)
    trainer.train(stream, 1, callbacks=[points])
    batch = stream.batches(0, 1)
    load = pipeline.loader(
        trainers.source("lenet"), split="train", augmentation="flip_crop"
    )
    images, labels = load(tf.constant(batch.indices[0]), tf.constant(batch.bits[0]))
    x = images.numpy().reshape(60, -1).astype(np.float64)
    for name in ("dense_1", "dense_2", "head"):
        x = x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
        x = x if name == "head" else np.maximum(x, 0)
    correct = x[np.arange(60), labels.numpy()]
    losses = np.log(np.exp(x).sum(axis=1)) - correct
    np.testing.assert_allclose(points.seen[1], losses.mean(), rtol=1e-5)


@pytest.mark.parametrize(
    "kind", [pytest.param("lenet_adam", marks=pytest.mark.slow), "small_conv"]
)
def test_snapshots_equal_those_of_fit(kind, trainers, tmp_path, small_conv_registered):
    """The loop and Keras's own, on the same batches, up to rounding."""
    trainer = trainers(kind)
    source = trainers.source(trainer.model.name)
    points = [0, 1, 5, _LAST]
    _place(trainer)
    trainer.train(
        trainers.stream(trainer),
        _LAST,
        callbacks=[WeightSnapshot(points, tmp_path / "loop")],
    )
    model = MODELS[trainer.model.name].function(
        input_shape=source.image_shape, num_classes=10
    )
    model_weights.assign(model, trainer.initial_weights(1))
    model.compile(
        optimizer=optimizers.make(trainer.recipe),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    batches = pipeline.as_dataset(
        source, trainers.stream(trainer), augmentation="flip_crop"
    )
    snapshots = WeightSnapshot(points, tmp_path / "fit")
    model.fit(batches, steps_per_epoch=_LAST, verbose=0, callbacks=[snapshots])
    assert snapshots.missing == ()
    for point in points:
        name = f"{point:08d}.safetensors"
        loop = checkpoints.read_arrays(tmp_path / "loop" / name)
        fit = checkpoints.read_arrays(tmp_path / "fit" / name)
        _assert_close(loop, fit, rtol=1e-4, atol=2e-5)
