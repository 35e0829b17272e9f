"""How accurate are the unpruned networks? LMC, Table 1; EP, Table A1.

Every network in every variant of its recipe, from several initializations: mean and
standard deviation of the test accuracy beside the paper's. --model and --variant take
lists here. ResNet-50 and Inception-v3, the last two rows of the paper's table, train on
ImageNet and have to be named in --model. EP's table is --variant=early_phase with
--model=resnet20,resnet56,resnet18,vgg13,wrn16_8.
"""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence

from tflottery.analysis import statistics
from tflottery.components.component import Artifact
from tflottery.core.registry import MODELS
from tflottery.execution.results_reader import ResultsReader
from tflottery.figures import reported
from tflottery.studies import accuracy_table, answers, program
from tflottery.studies import config as shared
from tflottery.studies.accuracy_table import TrainedNetwork, measured_errors
from tflottery.studies.answers import Answer
from tflottery.studies.config import option
from tflottery.studies.study import Study

if typing.TYPE_CHECKING:
    import pandas

_VARIANTS = ("standard", "low", "warmup")
# The paper and method of what is reported, where the variant's name does not say it.
_REPORTED = {"early_phase": ("early_phase", "unpruned")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(shared.Config):
    """Options of the experiment."""

    REWINDS: typing.ClassVar[bool] = False

    model: str = option("lenet,resnet20,vgg16", "networks to train, a list")
    variant: str | None = option(
        None, f"recipes, a list; None: each network's among {', '.join(_VARIANTS)}"
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
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A network and variant. Accuracies are fractions; `reported`: the paper's."""

    model: str
    variant: str
    dataset: str
    task: str
    training_iterations: int
    config: str
    num_parameters: int
    batch_size: int
    optimizer: str
    learning_rate: float
    warmup: int
    num_replicates: int
    test_accuracy_mean: float | None
    test_accuracy_std: float | None
    reported_test_accuracy: float | None
    reported_test_accuracy_std: float | None


TABLES = {"table1": Row, "accuracy": TrainedNetwork}


def members(config: Config) -> list[Config]:
    """Returns a Config for each network and variant.

    Raises:
      ValueError: an unknown network, or a variant that a network does not have.
    """
    configs = []
    for model in _listed(config.model):
        known = MODELS[model]["recipes"]
        variants = [name for name in _VARIANTS if name in known] or list(known)
        configs += [
            dataclasses.replace(config, model=model, variant=variant)
            for variant in _listed(config.variant or "") or variants
        ]
    if not configs:
        raise ValueError(f"--model={config.model!r} names no network.")
    return configs


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the tables are read from."""
    return [network.accuracy for network in accuracy_table.dense_networks(study)]


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the tables: table1 (a row a variant) and accuracy (a row a network)."""
    table = accuracy_table.rows(accuracy_table.dense_networks(study), results)
    return {"table1": [_row(study, measured_errors(table))], "accuracy": table}


def answer(tables: Mapping[str, "pandas.DataFrame"]) -> Answer:
    """Returns the accuracy of each network and variant beside the paper's."""
    networks, rows = tables["accuracy"], []
    for row in tables["table1"].itertuples():
        own = networks[networks["config"] == row.config]
        own = own[(own["model"] == row.model) & (own["variant"] == row.variant)]
        paper = (
            ""
            if math.isnan(row.reported_test_accuracy)
            else (f"{100 * row.reported_test_accuracy:.1f}")
        )
        found = answers.accuracy(own) if len(own) else ""
        rows.append((row.model, row.variant, str(len(own)), found, paper))
    title = answers.accuracy_title(networks)
    return Answer(title, ("network", "variant", "replicates", "found", "paper"), rows)


def _listed(text: str) -> list[str]:
    """Returns the names in a list with commas, each once."""
    names = (name.strip() for name in text.split(","))
    return list(dict.fromkeys(name for name in names if name))


def _row(study: Study, errors: Sequence[float]) -> Row:
    """Returns the row of a variant from the errors of its replicates."""
    recipe = study.recipe
    paper, method = _REPORTED.get(
        study.variant, ("linear_mode_connectivity", study.variant)
    )
    printed = reported.number(
        "top1_accuracy_pct",
        paper=paper,
        model=study.config.model,
        dataset=reported.learned(study.columns()),
        method=method,
    )
    return Row(
        **study.columns(),
        num_parameters=study.facts.num_trainable,
        batch_size=recipe.batch_size,
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        warmup=recipe.warmup,
        num_replicates=len(errors),
        test_accuracy_mean=1 - statistics.mean(errors) if errors else None,
        test_accuracy_std=statistics.std_of_several(errors),
        reported_test_accuracy=printed.value / 100 if printed else None,
        reported_test_accuracy_std=(
            printed.error / 100 if printed and printed.error else None
        ),
    )


if __name__ == "__main__":
    program.run(__spec__.name)
