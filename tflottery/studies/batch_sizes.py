"""Which batches a data set, the replicas and the task allow, before anything trains."""

from tflottery.components.metadata import Facts
from tflottery.core.registry import PRETEXTS

# A batch may hold images more than once: the stream goes on through epochs.
_MOST_EPOCHS_A_BATCH = 10


def validate(batch_size: int, facts: Facts) -> None:
    """Raises ValueError if a batch is too large, too small or cannot be shared.

    Args:
      batch_size: images of an update, of all replicas.
      facts: of the network and the data, which tell replicas and task.
    """
    if batch_size > _MOST_EPOCHS_A_BATCH * facts.data.num_train:
        raise ValueError(
            f"--batch_size={batch_size!r} is more than {_MOST_EPOCHS_A_BATCH} times "
            f"the {facts.data.num_train:,} training images of {facts.data.name!r}. "
            "Give a smaller one."
        )
    replicas = facts.num_replicas
    if batch_size % replicas:
        raise ValueError(
            f"A batch of {batch_size} cannot be shared by {replicas} replicas: "
            "--batch_size has to be a multiple of their number."
        )
    if facts.data.pretext is None:
        return
    own = batch_size // replicas
    part = f"--batch_size={batch_size!r}"
    if replicas > 1:
        part += f" of {replicas} replicas, {own} images each,"
    pretext = PRETEXTS[facts.data.pretext]
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
