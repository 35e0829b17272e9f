"""How many weights does training alone bring to zero? (Winning Tickets, Figure 6)

Finding Winning Tickets with Limited (or No) Supervision, Figures 6 and 9: magnitudes of
a trained network's weights in ascending order, and the fraction of them below machine
precision. To prune less than that is simple (Section 5).

The paper trains CIFAR-10 with Adam and an L2 penalty, ImageNet with SGD, and lays the
difference to the data. Here each network is trained with both (--optimizers), all else
being as in its recipe. An optimizer that is not the recipe's has a rate of the papers'
recipes: Adam 0.001, SGD 0.1 with momentum 0.9. --model takes a list. Weights are those
of the kernels that the recipe prunes: neither of batch norm nor of the last layer.
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping

from tflottery.components import weight_sizes
from tflottery.components.component import Artifact
from tflottery.components.weight_sizes import WeightSizes
from tflottery.core.recipes import OPTIMIZERS
from tflottery.execution.results_reader import ResultsReader
from tflottery.figures import reported
from tflottery.pruning.prunable import prunable
from tflottery.studies import accuracy_table, answers, program
from tflottery.studies import config as shared
from tflottery.studies.accuracy_table import PlannedNetwork, TrainedNetwork
from tflottery.studies.answers import Answer
from tflottery.studies.columns import NetworkKeys
from tflottery.studies.config import option
from tflottery.studies.study import Study

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas

# Of limited supervision's recipe, and of the recipes of the other two papers.
_USUAL_RATES = {
    "adam": {"learning_rate": 1e-3},
    "sgd": {"learning_rate": 0.1, "momentum": 0.9},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(shared.Config):
    """Options of the experiment."""

    PREFERRED_VARIANT: typing.ClassVar[str | None] = "limited_supervision"
    REWINDS: typing.ClassVar[bool] = False

    model: str = option("vgg19", "networks to train, a list")
    optimizers: tuple[str, ...] = option(
        ("adam", "sgd"), f"with which each is trained, a list: {', '.join(OPTIMIZERS)}"
    )
    num_quantiles: int = option(
        201, "how many of the sorted magnitudes are told, the least and the largest too"
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        return cls(
            model="lenet",
            dataset="digits",
            replicates=2,
            training_iterations=24,
            evaluation_examples=100,
            num_quantiles=5,
        )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        super().validate()
        if self.num_quantiles < 2:
            raise ValueError(
                f"--num_quantiles={self.num_quantiles!r} has to be at least 2: the "
                "least and the largest magnitude."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NaturalSparsity(TrainedNetwork):
    """A row of natural_sparsity.csv: a dense network at the end of training.

    Attributes:
      optimizer: with which it was trained.
      learning_rate: before decay and after warmup.
      num_weights: those of the kernels that may be pruned.
      natural_sparsity: of these, the fraction with a magnitude below 1.2e-7 (float32's
        machine precision), in [0, 1].
    """

    optimizer: str
    learning_rate: float
    num_weights: int | None = None
    natural_sparsity: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SortedWeight(NetworkKeys):
    """A row of sorted_weights.csv: a weight of a network, by its rank among magnitudes.

    Attributes:
      optimizer: with which the network was trained.
      abs_weight: its magnitude.
      quantile: fraction of the weights that have a lower one, in [0, 1].
    """

    optimizer: str
    abs_weight: float
    quantile: float


TABLES = {"natural_sparsity": NaturalSparsity, "sorted_weights": SortedWeight}


def members(config: Config) -> list[Config]:
    """Returns a Config for each network and optimizer.

    Raises:
      ValueError: no network is named, no optimizer or an unknown one, one twice, or a
        rate is given that could not be that of all of them.
    """
    models, optimizers = shared.listed(config.model), config.optimizers
    if not models:
        raise ValueError(f"--model={config.model!r} names no network.")
    shared.validate_names("optimizers", optimizers, known=OPTIMIZERS)
    if config.optimizer is not None:
        raise ValueError(
            f"--optimizer={config.optimizer!r} is said by --optimizers here, which "
            "takes a list."
        )
    given = [one for one in ("learning_rate", "momentum") if _given(config, one)]
    if given and len(optimizers) > 1:
        raise ValueError(
            f"--{given[0]}={getattr(config, given[0])!r} is that of one optimizer. "
            f"Name it alone: --optimizers={optimizers[0]}."
        )
    return [
        _member(dataclasses.replace(config, model=model), optimizer)
        for model in models
        for optimizer in optimizers
    ]


def subject(study: Study) -> str:
    """Returns what tells a study from the one beside it, for the plan's title."""
    return study.recipe.optimizer


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the tables are read from."""
    networks = list(_networks(study))
    measured = [network.accuracy for network in networks]
    return [*measured, *(_sizes(study, network) for network in networks)]


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the tables: natural_sparsity (a row a network) and sorted_weights."""
    table, weights = [], []
    for network in _networks(study):
        row = network.row
        found = results.read(_sizes(study, network), weight_sizes.read)
        if found is not None:
            magnitudes = found.pop("abs_weights")
            row = dataclasses.replace(row, **found)
            weights += _sorted_weights(study, row, magnitudes)
        table += accuracy_table.rows([network._replace(row=row)], results)
    return {"natural_sparsity": table, "sorted_weights": weights}


def figure(
    tables: Mapping[str, "pandas.DataFrame"],
) -> "matplotlib.figure.Figure | None":
    """Returns the paper's figure of these tables; None where no weights are known."""
    from tflottery.figures import natural_sparsity as drawing

    if not len(tables["sorted_weights"]):
        return None
    return drawing.draw(tables["sorted_weights"])


def answer(tables: Mapping[str, "pandas.DataFrame"]) -> Answer:
    """Returns the natural sparsity of each network, beside the paper's."""
    table, rows = tables["natural_sparsity"], []
    keys = ["model", "variant", "dataset", "task", "optimizer", "config"]
    for (model, _, dataset, _, optimizer, _), own in table.groupby(keys, sort=False):
        paper = reported.natural_sparsity(model, dataset=dataset, optimizer=optimizer)
        sparsity = own["natural_sparsity"].dropna()
        found = answers.mean_and_std(sparsity, scale=100) if len(sparsity) else ""
        rows.append(
            (
                reported.NETWORKS.get(model, model),
                reported.learned(own.iloc[0]),
                f"{optimizer} {own['learning_rate'].iloc[0]:g}",
                found,
                "" if paper is None else f"{paper.value:.1f}",
                answers.accuracy(own),
            )
        )
    accuracy = f"{answers.split(table)} accuracy (%)"
    columns = ("network", "data", "optimizer", "zero weights (%)", "paper", accuracy)
    title = "Weights below machine precision (mean ± std over replicates)"
    return Answer(title, columns, rows)


def _member(config: Config, optimizer: str) -> Config:
    """Returns the Config of one network and one optimizer, with a rate for it."""
    one = dataclasses.replace(config, optimizers=(optimizer,), optimizer=optimizer)
    _, recipe = one.named().recipe()
    if recipe.optimizer == optimizer:
        return one
    rates = _USUAL_RATES[optimizer].items()
    usual = {name: value for name, value in rates if not _given(config, name)}
    return dataclasses.replace(one, **usual)


def _given(config: Config, name: str) -> bool:
    """Returns whether the user gave an option."""
    return getattr(config, name) is not None


def _networks(study: Study) -> Iterator[PlannedNetwork]:
    """Yields every network, and what measures its accuracy."""
    recipe = study.recipe
    return accuracy_table.dense_networks(
        study,
        row_type=NaturalSparsity,
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
    )


def _sizes(study: Study, network: PlannedNetwork) -> WeightSizes:
    """Returns what measures the weights of a network."""
    unpruned = study.recipe.pruning.unpruned
    kernels = prunable(study.facts.kernel_shapes, unpruned=unpruned)
    return WeightSizes(network.accuracy.of, kernels, study.config.num_quantiles)


def _sorted_weights(
    study: Study, row: NaturalSparsity, magnitudes: list[float]
) -> Iterator[SortedWeight]:
    """Yields the magnitudes of a network, ascending."""
    keys = study.columns() | {"replicate": row.replicate, "optimizer": row.optimizer}
    last = len(magnitudes) - 1
    for number, magnitude in enumerate(magnitudes):
        yield SortedWeight(**keys, abs_weight=magnitude, quantile=number / last)


if __name__ == "__main__":
    program.run(__spec__.name)
