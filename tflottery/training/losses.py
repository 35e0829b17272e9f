"""What a network's outputs mean: logits, or logits followed by auxiliary logits.

A network with auxiliary heads (Inception-v3) returns a list. Training adds the
auxiliary cross-entropies with weight 0.4, as the implementation published in TensorFlow
does (tensorflow/models, research/inception); the network's paper names no weight.
Measurements see the first logits only.
"""

import tensorflow as tf

AUXILIARY_WEIGHT = 0.4

# One tensor, or several of which the first counts.
Outputs = tf.Tensor | list[tf.Tensor] | tuple[tf.Tensor, ...]


def main_logits(outputs: Outputs) -> tf.Tensor:
    """Returns the logits that answer: [batch, classes] float32."""
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


def cross_entropies(labels: tf.Tensor, outputs: Outputs) -> tf.Tensor:
    """Returns what training minimizes, per image: [batch] float32, in nats.

    Args:
      labels: [batch] int32.
      outputs: what the model returned, [batch, classes] float32 each.
    """
    several = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    main, *auxiliary = [
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        for logits in several
    ]
    for losses in auxiliary:
        main += AUXILIARY_WEIGHT * losses
    return main
