"""From one study's task or data set to another's: weights, masks and heads.

The body of a network and its batch norm statistics stay as they are. A head answers for
the classes of one task; for others it is the replicate's own initial one, and is not
pruned, since a mask of another head says nothing of it (the papers are silent on both).
"""

import contextlib
from collections.abc import Sequence

from tflottery.components.component import Artifact
from tflottery.components.runs import Initialization, Run
from tflottery.components.transferring import BodyMask, Transferred, is_head
from tflottery.core import recipes, seeds
from tflottery.core.registry import MODELS, PRETEXTS
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import Subnetwork, Subnetworks


def shares_head(one: Study, other: Study) -> bool:
    """Returns whether the outputs of two studies' networks stand for the same.

    Of a subset of images they do; of one of classes they do not.
    """
    data, others = one.facts.data, other.facts.data
    if (data.name, data.num_classes) != (others.name, others.num_classes):
        return False
    pretexts = {study.facts.data.pretext for study in (one, other)}
    own = (name for name in pretexts if name and PRETEXTS[name]["num_outputs"])
    return len(pretexts) == 1 or not any(own)


def weights(
    found: Artifact, *, of: Study, to: Study, replicate: int, head_seed: int
) -> Transferred:
    """Returns weights of one study's network as those of another's.

    Args:
      found: holds the weights.
      of: the study they come from.
      to: the study they are for.
      replicate: whose data they are for, where a pretext is seeded.
      head_seed: of a head that is drawn afresh.
    """
    return Transferred(
        found,
        to.facts.network,
        to.data(replicate),
        head_seed,
        new_head=not shares_head(of, to),
        initializers=to.initializers,
    )


def mask(found: Artifact, *, of: Study, to: Study) -> Artifact:
    """Returns masks of one study's network for another's."""
    return found if shares_head(of, to) else BodyMask(found)


def run(finder: Study, subnetwork: Subnetwork, *, to: Study) -> Run:
    """Returns the training, on one study's task, of a ticket that another one found.

    It begins from the finder's weights at k, or from weights drawn afresh where that is
    what its kind does, and has a schedule and data order of its own, which go on at k
    or begin anew as the recipe of `to` says.

    Args:
      finder: the study that pruned; where it trains as `to` does, its own training of
        the ticket is returned.
      subnetwork: which of the finder's, of level 1 or more.
      to: the study whose task it is trained on.

    Raises:
      ValueError: the finder pruned a head for other classes.
    """
    subnetworks = Subnetworks(finder)
    if finder.trunk(1).key == to.trunk(1).key:
        # What searched for the ticket has trained it already.
        return subnetworks.run(subnetwork, data_order=1)
    pruned = [path for path, _ in subnetworks.kernels if is_head(path)]
    if pruned and not shares_head(finder, to):
        raise ValueError(
            f"Variant {to.variant!r} prunes {', '.join(pruned)}, and a ticket of "
            f"{finder.config.task!r} has another head than one of "
            f"{to.config.task!r}. {_remedy(to, pruned)}"
        )
    replicate = subnetwork.replicate
    initial = subnetworks.weights(subnetwork)
    if isinstance(initial, Initialization):
        # Drawn afresh, nothing is the finder's.
        initial = to.initialization(initial.seed)
    else:
        initial = weights(
            initial,
            of=finder,
            to=to,
            replicate=replicate,
            head_seed=seeds.init_seed(replicate),
        )
    return to.branch(
        initial,
        rewind_iteration=subnetwork.rewind_iteration,
        replicate=replicate,
        data_order=1,
        level=subnetwork.level,
        mask=subnetworks.mask(subnetwork),
    )


def _remedy(study: Study, pruned: Sequence[str]) -> str:
    """Returns what to do where a variant prunes these kernels, which it should not."""
    model, layers = study.config.model, {path.split("/", 1)[0] for path in pruned}
    known = MODELS[model]["recipes"]
    of_model = {"model": model, "setting": study.config.setting}
    for name in known:
        # A variant without a recipe for the setting helps nobody.
        with contextlib.suppress(ValueError):
            _, recipe = recipes.recipe_of(known, variant=name, **of_model)
            if layers <= {*recipe.pruning.unpruned}:
                return f"Take --variant={name}, which does not."
    return f"All variants of {model!r} do: take another --model."
