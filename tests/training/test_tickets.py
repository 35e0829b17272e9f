"""Tickets: saved and loaded they are what they were, and they train alike."""

import keras
import numpy as np
import pytest

from tflottery import layers
from tflottery.models import weights as model_weights
from tflottery.pruning import masks as pruning_masks
from tflottery.pruning import scoring
from tflottery.training import checkpoints, optimizers, tickets
from tflottery.training.tickets import Ticket


def _network(units=6):
    images = keras.Input((4, 4, 2), name="images")
    x = layers.MaskedConv2D(3, 3, name="conv")(images)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten(name="flatten")(keras.layers.ReLU(name="relu")(x))
    x = layers.MaskedDense(units, activation="relu", name="dense")(x)
    return keras.Model(images, layers.MaskedDense(3, name="head")(x), name="small")


def _pruned_network(seed=1):
    """Returns a network with a third of its kernels' weights and odd statistics."""
    model = _network()
    drawn = model_weights.initial_weights(model, seed)
    drawn["norm/moving_mean"] = np.array([0.5, -1, 2], np.float32)
    model_weights.assign(model, drawn)
    kernels = list(layers.masks(model))
    total = sum(drawn[path].size for path in kernels)
    shapes = {path: drawn[path].shape for path in kernels}
    magnitudes = scoring.score("magnitude", drawn, shapes)
    layers.set_masks(
        model, pruning_masks.keep_highest(magnitudes, num_survivors=total // 3)
    )
    return model


def _images():
    return np.random.default_rng(0).normal(size=(12, 4, 4, 2)).astype(np.float32)


def _assert_same(one, two):
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert value.dtype == two[name].dtype == np.float32, name
        assert value.tobytes() == two[name].tobytes(), name


@pytest.fixture
def ticket():
    return tickets.of(_pruned_network(), rewind_iteration=500)


def test_a_ticket_is_what_its_model_was(ticket):
    model = _pruned_network()
    _assert_same(ticket.weights, model_weights.weights(model))
    _assert_same(ticket.masks, layers.masks(model))
    assert ticket.rewind_iteration == 500
    assert 0 < ticket.masks["dense/kernel"].mean() < 0.6
    # A copy, which training the model leaves alone.
    layers.set_masks(model, {})
    model.get_layer("head").bias.assign([1, 2, 3])
    _assert_same(ticket.masks, layers.masks(_pruned_network()))


def test_saved_and_loaded_equals_itself(ticket, tmp_path):
    path = tmp_path / "ticket.safetensors"
    tickets.save(ticket, path)
    loaded = tickets.load(path)
    _assert_same(loaded.weights, ticket.weights)
    _assert_same(loaded.masks, ticket.masks)
    assert loaded.rewind_iteration == 500
    tickets.save(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert {one.name for one in tmp_path.iterdir()} == {path.name, "again"}


def test_a_model_given_a_ticket_answers_and_trains_alike(ticket, tmp_path):
    tickets.save(ticket, tmp_path / "ticket")
    first, second = _pruned_network(), _pruned_network(seed=2)
    assert (first(_images()) != second(_images())).numpy().any()
    tickets.restore(tickets.load(tmp_path / "ticket"), second)
    np.testing.assert_array_equal(first(_images()), second(_images()))
    labels = np.arange(12) % 3
    for model in (first, second):
        model.compile(
            optimizer=optimizers.SGD(0.1, 0.9, weight_decay=1e-3),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            run_eagerly=True,
        )
        model.fit(_images(), labels, batch_size=4, epochs=2, shuffle=False, verbose=0)
    trained = [model_weights.weights(model) for model in (first, second)]
    _assert_same(*trained)
    for path, mask in ticket.masks.items():
        # Bytes, because -0.0 equals 0.0.
        assert not trained[1][path][mask == 0].tobytes().strip(b"\0")
    assert (trained[1]["head/kernel"] != ticket.weights["head/kernel"]).any()


def test_pruned_weights_that_are_not_zero_are_refused(ticket, tmp_path):
    weights = {name: value.copy() for name, value in ticket.weights.items()}
    pruned = np.flatnonzero(ticket.masks["dense/kernel"] == 0)
    weights["dense/kernel"].flat[pruned[0]] = 1e-30
    message = (
        r"'dense/kernel' are not 0\.0 where the mask prunes them: .* Use pruning\.masks"
    )
    with pytest.raises(ValueError, match=message):
        Ticket(weights, ticket.masks, 500)
    applied = pruning_masks.apply(weights, ticket.masks)
    _assert_same(Ticket(applied, ticket.masks, 500).weights, ticket.weights)
    # Neither is a file that says so.
    tickets.save(ticket, tmp_path / "ticket")
    arrays = checkpoints.read_arrays(tmp_path / "ticket")
    arrays["weight/dense/kernel"] = weights["dense/kernel"]
    checkpoints.write_arrays(tmp_path / "ticket", arrays)
    with pytest.raises(ValueError, match=message):
        tickets.load(tmp_path / "ticket")


def test_masks_that_do_not_fit_are_refused(ticket):
    extra = ticket.masks | {"hat/kernel": np.ones(3, np.float32)}
    with pytest.raises(ValueError, match=r"weights that are missing: \['hat/kernel'\]"):
        Ticket(ticket.weights, extra, 0)
    halves = ticket.masks | {"head/kernel": np.full((6, 3), 0.5, np.float32)}
    with pytest.raises(ValueError, match=r"'head/kernel' holds 0\.5"):
        Ticket(ticket.weights, halves, 0)


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[:4], lambda b: b""])
def test_a_damaged_file_is_refused(ticket, tmp_path, damage):
    path = tmp_path / "ticket.safetensors"
    tickets.save(ticket, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"ticket\.safetensors is damaged: \d+ bytes"):
        tickets.load(path)


def test_a_file_of_something_else_is_refused(ticket, tmp_path):
    checkpoints.write(tmp_path, ticket.weights)
    message = r"weights\.safetensors' holds \['conv/bias', .*, not a ticket"
    with pytest.raises(ValueError, match=message):
        tickets.load(tmp_path / "weights.safetensors")
    with pytest.raises(FileNotFoundError, match="There is no nothing in "):
        tickets.load(tmp_path / "nothing")


def test_another_model_is_refused_and_stays_as_it_was(ticket):
    wider = _network(units=7)
    before = model_weights.weights(wider)
    with pytest.raises(ValueError, match=r"'dense/kernel' have shape \(12, 6\)"):
        tickets.restore(ticket, wider)
    _assert_same(model_weights.weights(wider), before)
    assert all(mask.all() for mask in layers.masks(wider).values())
    images = keras.Input((5,), name="images")
    other = keras.Model(images, layers.MaskedDense(3, name="out")(images), name="other")
    with pytest.raises(ValueError, match="'other': missing .*out/.*, too much .*conv/"):
        tickets.restore(ticket, other)
