"""What is refused of models before anything trains, and what trains as it should."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.execution.plan import plan_of
from tflottery.own_models import own_components, problem, ticket_search, update_loop
from tflottery.store.store import Store

X = np.random.default_rng(0).normal(size=(48, 6)).astype(np.float32)
DATA = (X, X[:, 0])


def _model(*inner, **settings):
    head = keras.layers.Dense(1, name="head", **settings)
    return keras.Sequential([keras.Input((6,)), *inner, head])


def _loop(build_model=_model, data=DATA, **options):
    settings = {"optimizer": "sgd", "loss": "mse", "metrics": (), "batch_size": 16}
    settings |= {"test_data": DATA, "unpruned": ()}
    settings |= options
    return update_loop.UpdateLoop(problem.of_arguments(build_model, data, **settings))


class Noise(keras.layers.Layer):
    """Draws by Keras's own generator, of which nobody knows where it is."""

    def call(self, inputs):
        return inputs + keras.random.normal(keras.ops.shape(inputs))


def test_a_model_or_layer_made_outside_is_refused_as_it_was():
    model, shared = _model(), keras.layers.Dense(6, name="backbone")
    for build_model in (lambda: model, lambda: _model(shared)):
        with pytest.raises(ValueError, match=r"returned before.*kernel.*inside of"):
            _loop(build_model)
    assert not layers.masks(model)


def test_what_cannot_be_drawn_again_is_refused():
    with pytest.raises(ValueError, match="seed_generator"):
        _loop(lambda: _model(Noise()))

    def stateful():
        inputs = keras.Input(batch_shape=(16, 6))
        x = keras.layers.Reshape((2, 3))(inputs)
        x = keras.layers.SimpleRNN(3, stateful=True, name="memory")(x)
        return keras.Model(inputs, keras.layers.Dense(1)(x))

    with pytest.raises(ValueError, match=r"\['memory'\] are stateful"):
        _loop(stateful)


class OptimizerOfItsOwn(keras.Model):
    """Trains by an optimizer that nobody begins anew."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.another = keras.optimizers.SGD(0.1, momentum=0.9)

    def call(self, inputs):
        return self.dense(inputs)

    def train_step(self, data):
        inputs, targets = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, targets, self(inputs))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.another.apply_gradients(
            zip(gradients, self.trainable_variables, strict=True)
        )
        return {"loss": loss}


def test_a_step_that_goes_on_from_another_training_is_refused():
    with pytest.raises(ValueError, match=r"Trained twice.*dense/kernel.*an optimizer"):
        _ = _loop(OptimizerOfItsOwn).key


class NoisyBias(keras.Model):
    """Has a bias before batch norm, which moves by noise alone."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)
        self.normalization = keras.layers.BatchNormalization()
        self.head = keras.layers.Dense(1)

    def call(self, inputs, training=False):
        return self.head(self.normalization(self.dense(inputs), training=training))

    def train_step(self, data):
        found = super().train_step(data)
        # As rounding is under Adam, where it comes out otherwise each time.
        self.dense.bias.assign_add(0.01 * tf.random.normal([4]))
        return found


def test_noise_in_weights_that_move_by_nothing_else_is_no_reason_to_refuse():
    assert _loop(NoisyBias).key


def test_what_does_not_fit_together_is_said_of_its_split():
    other = (X[:, :4], X[:, 0])
    with pytest.raises(ValueError, match=r"of test_data, .*float32\(16, 4\)"):
        _ = _loop(test_data=other).key

    with pytest.raises(ValueError, match=r"first examples of data, .*label value of"):
        _loop(
            lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]),
            (X, np.full(48, 7)),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    with pytest.raises(ValueError, match=r"build_model=<Sequential.*a function"):
        _loop(_model())


@pytest.mark.slow
def test_text_is_trained_and_measured_on():
    words = np.array(["red blue", "blue", "red", "green red"] * 8)

    def build_model():
        indices = keras.layers.TextVectorization(
            output_mode="multi_hot", vocabulary=["red", "green", "blue"]
        )
        head = keras.layers.Dense(1, activation="sigmoid")
        return keras.Sequential([keras.Input((), dtype="string"), indices, head])

    data = (words, np.float32(np.strings.find(words, "red") >= 0))
    loop = _loop(
        build_model,
        data,
        test_data=data,
        optimizer=keras.optimizers.SGD(5.0),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    options = {"masks": {}, "seeds": (1, 2), "tell": lambda fraction: None}
    weights, _ = loop.train(
        loop.initial_weights(1), None, iterations=(0, 40), **options
    )
    assert loop.measure(weights, split="test")["accuracy"] == 1


def test_masks_that_were_there_and_kernels_that_do_not_train_are_refused():
    def masked():
        model = _model(keras.layers.Dense(4, name="first"))
        return layers.mask(model, unpruned=["head"])

    with pytest.raises(
        ValueError, match=r"masks in.*first.*without in.*head.*unpruned"
    ):
        _loop(masked)

    def frozen():
        return _model(keras.layers.Dense(4, name="first", trainable=False))

    with pytest.raises(ValueError, match=r"not trained.*first/kernel.*`unpruned`"):
        _loop(frozen)
    loop = _loop(frozen, unpruned=["first"])
    assert list(loop.kernel_shapes) == ["sequential/head/kernel"]


def test_metrics_of_several_values_are_refused():
    def build_model():
        return keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])

    targets = np.eye(3, dtype=np.float32)[np.arange(48) % 3]
    stated = problem.of_arguments(
        build_model,
        (X, targets),
        test_data=(X, targets),
        optimizer="sgd",
        loss="mse",
        metrics=[keras.metrics.F1Score()],
        batch_size=16,
        unpruned=(),
    )
    with pytest.raises(ValueError, match=r"f1_score.*\(3,\).*F1Score\(average="):
        update_loop.UpdateLoop(stated)


def test_replicates_have_networks_of_their_own():
    loop = _loop()
    digests = ticket_search.initial_digests(loop, 3)
    assert list(digests) == [1, 2, 3] and len(set(digests.values())) == 3
    assert ticket_search.initial_digests(loop, 3) == digests

    def seeding():
        return _model(kernel_initializer=keras.initializers.GlorotNormal(seed=1))

    with pytest.raises(ValueError, match=r"the same network.*replicates=1"):
        ticket_search.initial_digests(_loop(seeding), 2)


def test_names_and_directions_of_metrics_do_not_go_by_what_was_made_before():
    keras.metrics.AUC()

    def mine(y_true, y_pred):
        return keras.ops.mean(y_pred)

    metrics = [keras.metrics.AUC(), keras.metrics.CosineSimilarity(), "mae", mine]
    loop = _loop(
        lambda: _model(activation="sigmoid"),
        metrics=metrics,
        test_data=(X, np.float32(X[:, 0] > 0)),
    )
    assert loop.rises() == {
        "loss": False,
        "auc": True,
        "cosine_similarity": True,
        "mae": False,
        "mine": None,
    }


def test_of_several_outputs_each_metric_has_a_column_and_a_direction():
    def build_model():
        inputs = keras.Input((6,))
        age = keras.layers.Dense(1, name="age")(inputs)
        sex = keras.layers.Dense(1, name="sex", activation="sigmoid")(inputs)
        return keras.Model(inputs, {"age": age, "sex": sex})

    targets = {"age": X[:, :1], "sex": np.float32(X[:, 1:2] > 0)}
    stated = problem.of_arguments(
        build_model,
        (X, targets),
        test_data=(X, targets),
        optimizer="sgd",
        loss={"age": "mse", "sex": "binary_crossentropy"},
        metrics={"age": ["mae"], "sex": ["accuracy"]},
        batch_size=16,
        unpruned=None,
    )
    found = update_loop.UpdateLoop(stated).rises()
    assert found["age_mae"] is False and found["sex_accuracy"] is True
    assert found["loss"] is False and None not in found.values()


def test_nothing_is_kept_when_a_call_ends(tmp_path):
    stated = _loop().problem
    with own_components.kept(stated) as loop:
        state = ticket_search.trunk(loop, 1, "digest", iteration=3)
        # Three copies of seven float32 numbers would be less: SGD keeps two numbers.
        assert 7 * 4 <= state.num_bytes({}) <= 7 * 4 + 2 * 8
        # So progress tells iterations.
        planned = plan_of([state], Store(tmp_path), facts={})
        assert (planned.num_iterations, planned.num_stored) == (3, 0)
    assert not own_components._loops


@pytest.mark.parametrize(
    "precision",
    [
        "mixed_bfloat16",
        pytest.param("mixed_float16", marks=pytest.mark.slow),
        pytest.param("float64", marks=pytest.mark.slow),
    ],
)
def test_other_precisions_train(precision):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        loop = _loop(optimizer=keras.optimizers.Adam(gradient_accumulation_steps=2))
    finally:
        keras.config.set_dtype_policy(before)
    initial = loop.initial_weights(1)
    options = {"masks": {}, "seeds": (1, 2), "tell": lambda fraction: None}
    trained, _ = loop.train(initial, None, iterations=(0, 4), **options)
    for path, value in trained.items():
        assert value.dtype == initial[path].dtype and np.isfinite(value).all()
        assert (value != initial[path]).any()
