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
from tflottery.core.percentages import percent
from tflottery.core.registry import MODELS
from tflottery.execution.results_reader import ResultsReader
from tflottery.figures import reported
from tflottery.studies import accuracy_table, answers, program
from tflottery.studies import config as shared
from tflottery.studies.accuracy_table import TrainedNetwork, measured_errors
from tflottery.studies.answers import Answer
from tflottery.studies.columns import StudyKeys
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
class Row(StudyKeys):
    """A network and variant. Accuracies are fractions; `reported`: the paper's.

    Attributes:
      num_parameters: trainable ones, as EP counts them.
      num_weights: with batch norm statistics, as LMC does.
      epochs: the training's length in epochs.
      milestones: iterations at which the rate is multiplied by `decay_factor`, with
        spaces between them.
      pruning: "iterative" or "one_shot"; at `studied_density` the paper compares
        subnetworks.
    """

    num_parameters: int
    num_weights: int
    epochs: float
    batch_size: int
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    milestones: str | None
    decay_factor: float | None
    final_learning_rate: float | None
    warmup: int
    pruning: str
    pruning_fraction: float
    studied_density: float
    num_replicates: int
    test_accuracy_mean: float | None
    test_accuracy_std: float | None
    reported_num_parameters: int | None
    reported_test_accuracy: float | None
    reported_test_accuracy_std: float | None


TABLES = {"table1": Row, "accuracy": TrainedNetwork}


def members(config: Config) -> list[Config]:
    """Returns a Config for each network and variant.

    Raises:
      ValueError: an unknown network, or a variant that a network does not have.
    """
    configs = []
    for model in shared.listed(config.model):
        known = MODELS[model]["recipes"]
        variants = [name for name in _VARIANTS if name in known] or list(known)
        configs += [
            dataclasses.replace(config, model=model, variant=variant)
            for variant in shared.listed(config.variant or "") or variants
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
    """Returns the paper's table, each accuracy beside the one that it reports."""
    networks, rows = tables["accuracy"], []
    for row in tables["table1"].itertuples():
        own = networks[networks["config"] == row.config]
        own = own[(own["model"] == row.model) & (own["variant"] == row.variant)]
        paper = 100 * row.reported_test_accuracy
        rows.append(
            (
                row.model,
                row.variant,
                f"{row.num_parameters:,}",
                f"{row.training_iterations:,} ({row.epochs:.3g} ep)",
                str(row.batch_size),
                _optimizer(row),
                _schedule(row),
                f"{percent(row.studied_density)}, {row.pruning.replace('_', '-')}",
                str(len(own)),
                answers.accuracy(own) if len(own) else "",
                "" if math.isnan(paper) else f"{paper:.1f}",
            )
        )
    columns = ("network", "variant", "parameters", "iterations", "batch", "optimizer")
    columns += ("schedule", "studied density", "replicates", "found", "paper")
    return Answer(answers.accuracy_title(networks), columns, rows)


def _optimizer(row: tuple) -> str:
    """Returns "sgd 0.1, momentum 0.9" of a row of the table."""
    momentum = f", momentum {row.momentum:g}" if row.optimizer == "sgd" else ""
    return f"{row.optimizer} {row.learning_rate:g}{momentum}"


def _schedule(row: tuple) -> str:
    """Returns how the rate changes by a row of the table; "constant" if it does not."""
    parts = [f"warmup {row.warmup:,}"] if row.warmup else []
    # One milestone alone reads back as a number.
    if isinstance(row.milestones, str) or not math.isnan(row.milestones):
        when = " ".join(f"{int(float(k)):,}" for k in str(row.milestones).split())
        parts.append(f"x{row.decay_factor:g} at {when}")
    if not math.isnan(row.final_learning_rate):
        parts.append(f"linear to {row.final_learning_rate:g}")
    return ", ".join(parts) or "constant"


def _row(study: Study, errors: Sequence[float]) -> Row:
    """Returns the row of a variant from the errors of its replicates."""
    recipe, facts = study.recipe, study.facts
    parameters = _printed(study, "parameters")
    accuracy = _printed(study, "top1_accuracy_pct")
    milestones = " ".join(map(str, recipe.milestones))
    return Row(
        **study.columns(),
        num_parameters=facts.num_trainable,
        num_weights=facts.num_weights,
        epochs=study.last * recipe.batch_size / facts.data.num_train,
        batch_size=recipe.batch_size,
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        milestones=milestones or None,
        decay_factor=recipe.decay_factor if milestones else None,
        final_learning_rate=recipe.final_learning_rate,
        warmup=recipe.warmup,
        pruning="one_shot" if recipe.pruning.one_shot else "iterative",
        pruning_fraction=recipe.pruning.pruning_fraction,
        studied_density=recipe.pruning.studied_density,
        num_replicates=len(errors),
        test_accuracy_mean=1 - statistics.mean(errors) if errors else None,
        test_accuracy_std=statistics.std_of_several(errors),
        reported_num_parameters=int(parameters.value) if parameters else None,
        reported_test_accuracy=accuracy.value / 100 if accuracy else None,
        reported_test_accuracy_std=(
            accuracy.error / 100 if accuracy and accuracy.error else None
        ),
    )


def _printed(study: Study, metric: str) -> reported.Number | None:
    """Returns the number that the paper's table has of a network and variant."""
    paper, method = _REPORTED.get(
        study.variant, ("linear_mode_connectivity", study.variant)
    )
    return reported.number(
        metric,
        paper=paper,
        model=study.config.model,
        dataset=reported.learned(study.columns()),
        method=method,
    )


if __name__ == "__main__":
    program.run(__spec__.name)
