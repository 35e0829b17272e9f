"""Dropout and its like: what a network draws, set anew before every forward pass.

Keras's layers draw from seed generators (`keras.random.SeedGenerator`) that go on from
where the process is: an interrupted training would draw something else. Here their
states are a function of (seed, iteration, generator, replica), written before each
forward pass, so that a training resumes bit for bit wherever it was cut. It works for
every generator that is an attribute of a layer, whatever the layer draws.
"""

import keras
import numpy as np
import tensorflow as tf

from tflottery.core import seeds

# Words of states stay below 2**31, which Keras takes them modulo: keys have so many
# bits, and a forward pass may draw so often before another replica's states come.
_KEY_BITS = 30
_DRAWS_BITS = 20


class Generators:
    """The seed generators of a built model's layers; often there are none."""

    def __init__(self, model: keras.Model):
        """Makes a variable, to be called in the scope of the model's strategy."""
        # Keras has no public way to either of these.
        parts = model._flatten_layers(include_self=True, recursive=True)
        found = [one.state for part in parts for one in part._seed_generators]
        self._states = list({id(state): state for state in found}.values())
        if self._states:
            zeros = np.zeros((len(self._states), 2), np.int64)
            self._keys = tf.Variable(zeros, trainable=False)

    def __len__(self) -> int:
        return len(self._states)

    def reseed(self, seed: int | None) -> None:
        """Makes all that is drawn a function of a seed of `core.seeds`, too.

        Args:
          seed: None where nothing is drawn.

        Changes: what `set` does from now on, in compiled loops as well.

        Raises:
          ValueError: there is no seed for a network that draws.
        """
        if self._states and seed is None:
            raise ValueError(
                f"The network draws from {len(self)} seed generators (dropout or the "
                "like), but no seed was given, such as core.seeds.dropout_seed."
            )
        if self._states:
            words = [seeds.raw_bits(seed, one, 2) for one in range(len(self))]
            keys = np.array(words) >> np.uint64(64 - _KEY_BITS)
            self._keys.assign(keys.astype(np.int64))

    def set(
        self,
        iteration: tf.Tensor | int,
        *,
        part: tf.Tensor | int = 0,
        num_parts: int = 1,
        alike: bool = False,
    ) -> None:
        """Readies the generators for the forward pass of an iteration.

        Args:
          iteration: whole number, scalar; below 2**30.
          part: which of the batch's parts on this device passes, from 0.
          num_parts: how many there are on each device.
          alike: whether all devices draw the same, as one by itself does.

        Changes: the states of the generators, on this device.
        """
        if not self._states:
            return
        context = tf.distribute.get_replica_context()
        # Replicas have numbers of their own, on however many devices they are.
        device = 0 if alike else context.replica_id_in_sync_group
        replica = tf.cast(device, tf.int64) * num_parts + tf.cast(part, tf.int64)
        shift = [tf.cast(iteration, tf.int64), replica * 2**_DRAWS_BITS]
        states = tf.convert_to_tensor(self._keys) + tf.stack(shift)
        for state, value in zip(self._states, tf.unstack(states), strict=True):
            state.assign(value)
