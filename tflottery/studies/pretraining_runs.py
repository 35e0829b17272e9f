"""Pre-trained states: what a pretext task leaves of a network (EP, section 6).

A network, dense or pruned, trains on a pretext task for some epochs under the recipe's
own optimizer at its constant rate; then body and batch norm statistics are carried over
to the task proper, with the replicate's initial head where the classes differ, and
fresh optimizer slots (the paper is silent on all of this).
"""

import dataclasses

from tflottery.components.component import Artifact
from tflottery.components.runs import Initialization, Run, State
from tflottery.components.transferring import Transferred
from tflottery.core import durations, seeds
from tflottery.studies import ticket_transfer
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import Subnetwork, Subnetworks


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """A pretext task and for how long; `epochs` 0 is none.

    Attributes:
      pretext: name in the registry.
      epochs: of the training data.
    """

    pretext: str
    epochs: int


def trunk(study: Study, pretraining: Pretraining, replicate: int) -> Run:
    """Returns a replicate's dense run that begins from its pre-trained state."""
    initial = study.initialization(seeds.init_seed(replicate))
    run = _run(study, pretraining, replicate, initial=initial, mask=None)
    return study.branch(
        _back(study, pretraining, replicate, run, head_seed=initial.seed),
        rewind_iteration=0,
        replicate=replicate,
        data_order=0,
    )


def sparse_run(
    study: Study,
    pretraining: Pretraining,
    subnetworks: Subnetworks,
    subnetwork: Subnetwork,
) -> Run:
    """Returns the training of a subnetwork from k, pre-trained as it is, pruned.

    The head of the pretext task is dense where it is not that of the task proper.

    Args:
      study: whose recipe and networks.
      pretraining: on what and for how long.
      subnetworks: of the study.
      subnetwork: which; it takes the weights of its k, and goes on at k on schedule and
        data stream.
    """
    replicate = subnetwork.replicate
    pretext = study.related[pretraining.pretext]
    mask, weights = subnetworks.mask(subnetwork), subnetworks.weights(subnetwork)
    head_seed = seeds.init_seed(replicate)
    if isinstance(weights, Initialization):
        # Weights that are none of the ticket's: the head is none either.
        head_seed = weights.seed
    else:
        weights = ticket_transfer.weights(
            weights, of=study, to=pretext, replicate=replicate, head_seed=head_seed
        )
    run = _run(
        study,
        pretraining,
        replicate,
        initial=weights,
        mask=ticket_transfer.mask(mask, of=study, to=pretext),
    )
    initial = _back(study, pretraining, replicate, run, head_seed=head_seed)
    return subnetworks.run(subnetwork, data_order=1, initial=initial)


def _run(
    study: Study,
    pretraining: Pretraining,
    replicate: int,
    *,
    initial: Initialization | Artifact,
    mask: Artifact | None,
) -> Run:
    """Returns the training on the pretext task."""
    pretext = study.related[pretraining.pretext]
    recipe = dataclasses.replace(
        study.recipe, milestones=(), warmup=0, final_learning_rate=None
    )
    return Run(
        network=pretext.facts.network,
        data=pretext.data(replicate),
        recipe=recipe,
        initial=initial,
        mask=mask,
        data_order_seed=seeds.pretraining_order_seed(replicate),
        augmentation_seed=seeds.pretraining_augmentation_seed(replicate),
        dropout_seed=seeds.pretraining_dropout_seed(replicate),
        device=study.placement.device,
        num_replicas=study.num_replicas,
        precision=pretext.facts.precision,
        threads=study.placement.threads,
    )


def _back(
    study: Study, pretraining: Pretraining, replicate: int, run: Run, *, head_seed: int
) -> Transferred:
    """Returns the end of the pre-training as weights for the task proper."""
    end = durations.iterations(
        f"{pretraining.epochs}ep",
        num_examples=study.facts.data.num_train,
        batch_size=study.recipe.batch_size,
    )
    return ticket_transfer.weights(
        State(run, end),
        of=study.related[pretraining.pretext],
        to=study,
        replicate=replicate,
        head_seed=head_seed,
    )
