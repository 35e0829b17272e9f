"""Which batches a data set, the replicas and the task allow, before anything trains."""

from tflottery.components.metadata import Facts
from tflottery.core.registry import PRETEXTS
from tflottery.training import distribution

# Of a part of the data a batch may hold images more than once: the stream goes on
# through epochs, and a hundredth of a small data set is to be tried as the paper does.
_MOST_EPOCHS_A_BATCH = 10


def validate(batch_size: int, facts: Facts, *, num_replicas: int) -> None:
    """Raises ValueError if a batch is too large, too small or cannot be shared.

    Args:
      batch_size: images of an update, of all replicas.
      facts: of the network and the data, which tell devices and task.
      num_replicas: parts of a batch, each normalized by itself.
    """
    data = facts.data
    times = 1 if data.subset is None else _MOST_EPOCHS_A_BATCH
    if batch_size > times * data.num_train:
        than = "" if times == 1 else f" {times} times"
        raise ValueError(
            f"--batch_size={batch_size!r} is more than{than} the {_images(facts)}. "
            "Give a smaller one."
        )
    distribution.validate_batch(
        batch_size=batch_size, num_replicas=num_replicas, num_devices=facts.num_devices
    )
    if data.pretext is None:
        return
    own = batch_size // num_replicas
    part = f"--batch_size={batch_size!r}"
    if num_replicas > 1:
        part += f" of {num_replicas} replicas, {own} images each,"
    pretext = PRETEXTS[data.pretext]
    if pretext["unlabeled"] and own % 2:
        raise ValueError(
            f"{part} has no half with labels and half without, of which the batches "
            f"of {pretext.name!r} consist. Give an even number for each replica."
        )
    if own < pretext["smallest_batch"]:
        raise ValueError(
            f"{part} is too small for {pretext.name!r}, which needs "
            f"{pretext['smallest_batch']} images or more for each replica. Give more."
        )


def remark(batch_size: int, facts: Facts) -> str | None:
    """Returns what a user has to know of a batch that is allowed; None: nothing.

    Args:
      batch_size: images of an update, of all replicas.
      facts: of the network and the data.
    """
    if batch_size <= facts.data.num_train:
        return None
    return (
        f"A batch of {batch_size:,} is more than the {_images(facts)}: it has some of "
        "them more than once."
    )


def _images(facts: Facts) -> str:
    """Returns how many training images there are, and of what."""
    data = facts.data
    learned = repr(data.name)
    if data.subset is not None:
        learned = f"{data.subset} of {learned}"
    return f"{data.num_train:,} training images of {learned}"
