"""Telemetry of a network of two weights, by hand."""

import math

import numpy as np
import pytest

from tflottery.components import observing
from tflottery.components.observing import Telemetry


def weights(*kernel, bias=(0, 0)):
    """Weights of a network with a kernel of two and two biases."""
    return {
        "head/kernel": np.array([kernel], np.float32),
        "head/bias": np.array(bias, np.float32),
    }


@pytest.fixture
def measure(trial):
    """Returns what is measured of a network between two others."""

    def run(of, initial, final, *, model="constant", examples=8, seed=1):
        states = (trial.state(model, iteration) for iteration in (5, 0, 9))
        component = Telemetry(*states, examples, seed)
        trial.execute(component, of=of, initial=initial, final=final)
        return observing.read(trial.output)

    return run


def test_weights_by_hand(measure):
    found = measure(
        weights(3, -4, bias=(5, 5)),
        weights(-1, -1, bias=(9, 9)),
        weights(3, 0, bias=(-9, 0)),
    )
    # Biases are none of it.
    assert found["mean_weight_magnitude"] == 3.5
    assert found["fraction_of_signs_changed"] == 0.5
    assert found["l2_from_initial"] == 5.0
    assert found["l2_from_final"] == 4.0
    assert found["cosine_to_initial"] == pytest.approx(1 / (5 * math.sqrt(2)))
    assert found["cosine_to_final"] == pytest.approx(0.6)
    # Of two weights both are noted.
    noted = {(one["path"], one["position"]): one["value"] for one in found["weights"]}
    assert noted == {("head/kernel", 0): 3.0, ("head/kernel", 1): -4.0}


def test_the_initial_network_is_itself(measure):
    found = measure(*[weights(1, 2)] * 3)
    assert found["fraction_of_signs_changed"] == found["l2_from_initial"] == 0.0
    assert found["cosine_to_initial"] == found["cosine_to_final"] == 1.0


def test_gradients_by_hand(measure, trial):
    found = measure(weights(0, 0, bias=(1, 0)), weights(1, 1), weights(1, 1))
    assert found["gradient_examples"] == 8
    run = trial.run("constant")
    evaluator = trial.runtime.evaluator(run.network, run.data)
    source = trial.runtime.source("dots", model="constant")
    p = 1 / (1 + math.exp(-1))
    norms = []
    # The recipe's batches of four; by the kernel bright images alone count.
    for batch in evaluator._random_order("train").reshape(2, 4):
        bright = source.train.images[batch].ravel() / 255
        error = p - (source.train.labels[batch] == 0)
        norms.append(abs(np.mean(bright * error)) * math.sqrt(2))
    assert norms[0] != norms[1]
    assert found["gradient_norm"] == pytest.approx(np.mean(norms), rel=1e-5)
    mean = np.mean(norms) / math.sqrt(2)
    assert found["mean_gradient_magnitude"] == pytest.approx(mean, rel=1e-5)


def test_fewer_images_are_the_first_of_the_same_order(measure, trial):
    networks = weights(0, 0, bias=(1, 0)), weights(1, 1), weights(1, 1)
    found = measure(*networks, examples=6)
    assert found["gradient_examples"] == 4
    assert found["gradient_norm"] != measure(*networks)["gradient_norm"]


def test_interrupted_anywhere_goes_on_to_the_same_result(trial):
    of = weights(0, 1, bias=(1, 0))
    states = [trial.state("constant", iteration) for iteration in (5, 0, 9)]
    component = Telemetry(*states, 8, 1)
    networks = {"of": of, "initial": weights(1, 1), "final": weights(1, 2)}
    trial.execute(component, **networks)
    # Two batches of four.
    assert [share for _, share in trial.remembered] == [0.5, 1.0]
    path = trial.output / observing.TELEMETRY_FILE
    text = path.read_bytes()
    for stop_after in (1, 2):
        path.unlink()
        with pytest.raises(InterruptedError):
            trial.execute(component, **networks, stop_after=stop_after)
        remembered = trial.remembered[-1][0]
        trial.execute(component, **networks, remembered=remembered)
        assert len(trial.remembered) == 2 - stop_after
        assert path.read_bytes() == text
    # What was remembered of batches of another size is left.
    trial.execute(component, **networks, remembered={"of": [4, 2], "values": [[9, 9]]})
    assert path.read_bytes() == text


def test_the_order_of_weights_is_that_of_the_seed(measure):
    orders = set()
    for seed in range(8):
        found = measure(*[weights(1, 2)] * 3, seed=seed)
        orders.add(tuple(one["position"] for one in found["weights"]))
    assert orders == {(0, 1), (1, 0)}


def test_batch_norm_is_no_weight(measure):
    norm = {
        "norm/gamma": np.full(1, 7, np.float32),
        "norm/beta": np.full(1, 7, np.float32),
        "norm/moving_mean": np.full(1, 7, np.float32),
        "norm/moving_variance": np.full(1, 7, np.float32),
    }
    found = measure(
        weights(1, 3) | norm,
        weights(1, 2) | {name: -value for name, value in norm.items()},
        weights(1, 4) | norm,
        model="threshold",
    )
    assert found["mean_weight_magnitude"] == 2.0
    assert found["l2_from_initial"] == found["l2_from_final"] == 1.0
    assert len(found["weights"]) == 2


def test_key_is_of_the_states_the_images_and_the_seed(trial):
    state, initial, final = (trial.state("constant", k) for k in (5, 0, 9))
    components = [
        Telemetry(state, initial, final, 8, 1),
        Telemetry(initial, initial, final, 8, 1),
        Telemetry(state, initial, state, 8, 1),
        Telemetry(state, initial, final, 4, 1),
        Telemetry(state, initial, final, 8, 2),
    ]
    assert len({one.key for one in components}) == 5
    expected = {"of": state, "initial": initial, "final": final}
    assert components[0].inputs == expected


def test_cost_grows_with_the_images(trial):
    facts = trial.facts("constant")
    state = trial.state("constant")

    def flops(examples):
        measure = Telemetry(state, state, state, examples, 1)
        return measure.flops({facts.network: facts})

    # 4 operations an image, three times over.
    assert flops(4) == 4 * 4 * 3
    assert flops(8) == flops(1000) == 8 * 4 * 3
