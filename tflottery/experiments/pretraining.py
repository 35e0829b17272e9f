"""Can a pretext task do what the first iterations do? Pre-training (EP, section 6).

A network is pre-trained on random labels, rotation, blurred images, or both blur and
rotation; IMP then finds tickets by rewinding to the pre-trained state. Their accuracy
against density beside that of tickets rewound to iterations k of ordinary training
(Figures 9 and A9 to A12), a panel a pretext. With --sparse, ordinary subnetworks are
pre-trained after they are pruned (Figure 10).

Readings where the paper is silent: the recipe's optimizer at its constant rate, body
and batch norm statistics carried over, fresh slots; a head for other classes is the
replicate's initial one (of a reinitialized network: its own), one for the same classes
is kept. Pre-training of a replicate goes by one data order, whatever the level.
"""

import dataclasses
import functools
import itertools
import typing
from collections.abc import Iterator, Mapping

from tflottery.components.component import Artifact
from tflottery.components.runs import Run
from tflottery.core.amounts import counted
from tflottery.core.durations import Duration
from tflottery.core.recipes import Recipe
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies import (
    accuracy_table,
    answers,
    layer_tables,
    pretraining_runs,
    program,
)
from tflottery.studies import config as shared
from tflottery.studies.accuracy_table import PlannedNetwork, TrainedNetwork
from tflottery.studies.answers import Answer
from tflottery.studies.config import option
from tflottery.studies.layer_tables import MaskLayer
from tflottery.studies.pretraining_runs import Pretraining
from tflottery.studies.pruning_config import PruningConfig
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import (
    DENSE,
    IMP,
    RANDOM_PRUNING,
    RANDOM_REINIT,
    Subnetwork,
    Subnetworks,
)

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas

_PRETEXTS = ("random_labels", "rotation", "blur", "blur_rotation")
_EPOCHS = (2, 5, 10, 40)
_SPARSE_EPOCHS = (40,)
# The networks that Figure 10 pre-trains after they were pruned.
_KINDS = (IMP, RANDOM_PRUNING, RANDOM_REINIT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PruningConfig):
    """Options of the experiment."""

    PREFERRED_VARIANT: typing.ClassVar[str | None] = "early_phase"

    model: str = option("resnet20", "network to train")
    pretext: tuple[str, ...] | None = option(
        None,
        f"tasks to pre-train on; None: {', '.join(_PRETEXTS)}; with --sparse rotation",
    )
    pretraining_epochs: tuple[int, ...] | None = option(
        None, "lengths of pre-training; None: 2, 5, 10 and 40; with --sparse 40"
    )
    sparse: bool = option(
        False,
        "pre-train subnetworks after they were pruned (Figure 10): IMP's at each k, "
        "random ones at the first",
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        return cls(
            model="lenet",
            dataset="digits",
            replicates=1,
            rewind_iterations=(0,),
            training_iterations=16,
            evaluation_examples=100,
            levels=("1",),
            pretext=("rotation", "random_labels"),
            pretraining_epochs=(1,),
        )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        super().validate()
        shared.refuse_carried(self)
        if not self.pretexts() or not self.lengths():
            raise ValueError(
                "--pretext and --pretraining_epochs have to name at least one each."
            )
        for epochs in self.lengths():
            shared.validate_count("pretraining_epochs", epochs)

    def related(self) -> dict[str, "Config"]:
        """Returns the Configs of the same network on each pretext task, by its name."""
        return {
            pretext: dataclasses.replace(self, task=pretext, pretext=())
            for pretext in self.pretexts()
        }

    def paper_iterations(self, recipe: Recipe) -> tuple[Duration, ...]:
        """Returns 0 and the k that the paper perturbs, of which --sparse has the first.

        Those are the k of its Figures 9 and 10.
        """
        perturbed = recipe.pruning.perturbed_iterations[: 1 if self.sparse else None]
        return (0, *perturbed) if perturbed else super().paper_iterations(recipe)

    def pretexts(self) -> tuple[str, ...]:
        """Returns the pretext tasks that networks are pre-trained on."""
        default = ("rotation",) if self.sparse else _PRETEXTS
        return default if self.pretext is None else tuple(dict.fromkeys(self.pretext))

    def lengths(self) -> tuple[int, ...]:
        """Returns for how many epochs networks are pre-trained, ascending."""
        default = _SPARSE_EPOCHS if self.sparse else _EPOCHS
        given = self.pretraining_epochs
        return default if given is None else tuple(sorted(set(given)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedNetwork(TrainedNetwork):
    """A row of accuracy.csv of an experiment on pre-training.

    Attributes:
      pretext: what the network was pre-trained on; None: nothing.
      pretraining_epochs: for how long; 0: not at all.
      sparse_pretraining: whether it was pruned by then.
    """

    pretext: str | None = None
    pretraining_epochs: int = 0
    sparse_pretraining: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedMaskLayer(MaskLayer):
    """A row of mask_layers.csv; columns as in `MaskLayer` and `PretrainedNetwork`."""

    pretext: str | None = None
    pretraining_epochs: int = 0
    sparse_pretraining: bool = False


TABLES = {"accuracy": PretrainedNetwork, "mask_layers": PretrainedMaskLayer}


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the tables are read from."""
    networks = list(_networks(study))
    measured = [accuracy for _, accuracy in networks]
    return [*measured, *layer_tables.counts(layer_tables.with_masks(networks))]


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the tables: accuracy (a row a network) and mask_layers (a kernel)."""
    networks = list(_networks(study))
    table = accuracy_table.rows(networks, results)
    # A pre-trained dense network is no replicate of the ordinary one.
    ordinary = [row for row in table if not row.pretraining_epochs]
    dense = accuracy_table.dense_errors(study, ordinary)
    return {
        "accuracy": accuracy_table.compared(table, dense=dense),
        "mask_layers": layer_tables.masked(
            study,
            layer_tables.with_masks(networks),
            results,
            row_type=PretrainedMaskLayer,
        ),
    }


def subject(study: Study) -> str:
    """Returns what the study is about, for the plan's title."""
    config, sparse = study.config, Subnetworks(study)
    *others, last = config.lengths()
    lengths = ", ".join([*map(str, others), counted(last, "epoch")])
    return (
        f"{', '.join(config.pretexts())} for {lengths}"
        f"{' on sparse networks' if config.sparse else ''}; to "
        f"{sparse.describe(sparse.levels[-1])}"
    )


def figure(
    tables: Mapping[str, "pandas.DataFrame"],
) -> "matplotlib.figure.Figure | None":
    """Returns the paper's figure of this table; None where no test error is."""
    from tflottery.figures import pretraining as drawing

    if not accuracy_table.shows_accuracy(tables["accuracy"]):
        return None
    return drawing.draw(tables["accuracy"])


def answer(tables: Mapping[str, "pandas.DataFrame"]) -> Answer:
    """Returns accuracies of the tickets of each k and pre-training, by density."""

    def line(kind: str, k: int, pretext: str, epochs: int, sparse: bool) -> str:
        if kind == DENSE and not epochs:
            return DENSE
        begun = f"{pretext}, {counted(epochs, 'epoch')}" if epochs else f"k = {k}"
        # After it was pruned, a network goes on from k all the same.
        begun += f", k = {k}" if epochs and sparse else ""
        return begun if kind in (DENSE, IMP) and not sparse else f"{kind}, {begun}"

    columns = ("rewind_iteration", "pretext", "pretraining_epochs")
    return answers.accuracy_by_density(
        tables["accuracy"],
        by=("subnetwork", *columns, "sparse_pretraining"),
        label=line,
        name="network",
    )


def _networks(study: Study) -> Iterator[PlannedNetwork]:
    """Yields every network, and what measures it."""
    yield from accuracy_table.dense_networks(study, row_type=PretrainedNetwork)
    if study.config.sparse:
        yield from _pretrained_sparsely(study)
        return
    yield from _tickets(study)
    for pretext, epochs in itertools.product(
        study.config.pretexts(), study.config.lengths()
    ):
        yield from _pretrained(study, Pretraining(pretext, epochs))


def _tickets(study: Study) -> Iterator[PlannedNetwork]:
    """Yields the tickets of ordinary training, of every k."""
    subnetworks = Subnetworks(study)
    for k, level, replicate in itertools.product(
        study.rewind_iterations, subnetworks.levels, study.replicates
    ):
        ticket = Subnetwork(
            kind=IMP, level=level, replicate=replicate, rewind_iteration=k
        )
        run = subnetworks.run(ticket, data_order=1)
        yield _planned(study, subnetworks, ticket, run)


def _pretrained(study: Study, pretraining: Pretraining) -> Iterator[PlannedNetwork]:
    """Yields the pre-trained dense networks, and the tickets rewound to that state."""
    beginning = functools.cache(
        functools.partial(pretraining_runs.trunk, study, pretraining)
    )
    subnetworks = Subnetworks(study, trunk=beginning)
    for level, replicate in itertools.product(
        (0, *subnetworks.levels), study.replicates
    ):
        network = Subnetwork(
            kind=IMP if level else DENSE,
            level=level,
            replicate=replicate,
            rewind_iteration=0,
        )
        run = beginning(replicate)
        if level:
            run = subnetworks.run(network, data_order=1)
        yield _planned(study, subnetworks, network, run, pretraining=pretraining)


def _pretrained_sparsely(study: Study) -> Iterator[PlannedNetwork]:
    """Yields subnetworks of each kind as they are, and pre-trained."""
    subnetworks = Subnetworks(study)
    ks = study.rewind_iterations
    for kind in _KINDS:
        for k, level, replicate in itertools.product(
            ks if kind == IMP else ks[:1], subnetworks.levels, study.replicates
        ):
            network = Subnetwork(
                kind=kind, level=level, replicate=replicate, rewind_iteration=k
            )
            run = subnetworks.run(network, data_order=1)
            yield _planned(study, subnetworks, network, run)
            for pretext, epochs in itertools.product(
                study.config.pretexts(), study.config.lengths()
            ):
                pretraining = Pretraining(pretext, epochs)
                run = pretraining_runs.sparse_run(
                    study, pretraining, subnetworks, network
                )
                yield _planned(
                    study, subnetworks, network, run, pretraining=pretraining
                )


def _planned(
    study: Study,
    subnetworks: Subnetworks,
    network: Subnetwork,
    run: Run,
    *,
    pretraining: Pretraining | None = None,
) -> PlannedNetwork:
    """Returns a network of the plan, by its last run and its pre-training, if any."""
    names = subnetworks.columns(network)
    if pretraining is not None:
        names |= {
            "pretext": pretraining.pretext,
            "pretraining_epochs": pretraining.epochs,
            "sparse_pretraining": study.config.sparse,
        }
    return accuracy_table.planned(
        study,
        names,
        run,
        data_order=1 if network.level else 0,
        row_type=PretrainedNetwork,
    )


if __name__ == "__main__":
    program.run(__spec__.name)
