"""The columns that tables share: what tells a row of one network from all others."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyKeys:
    """Which study a row is of; every row of every table begins so (`Study.columns`).

    Attributes:
      model: name of the model.
      variant: name of its recipe.
      dataset: name of the data set.
      task: what is learned of it: labels, or a pretext task.
      training_iterations: length of a whole training.
      config: short hash of whatever else decides the row.
      precision: in which it was trained.
    """

    model: str
    variant: str
    dataset: str
    task: str
    training_iterations: int
    config: str
    precision: str = "float32"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelKeys(StudyKeys):
    """A level of a setting, over its replicates; columns as in `NetworkKeys`."""

    level: int
    density: float
    axis_density: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkKeys(StudyKeys):
    """A network of a replicate; dense unless it says otherwise.

    Attributes:
      subnetwork: dense, or a kind of pruned network, such as imp
        (`studies.subnetworks`).
      level: prunings so far.
      density: kept fraction of the prunable weights, in [0, 1].
      axis_density: the same with unpruned kernels counted as kept, as on the papers'
        axes.
      replicate: independent repetition, from 1.
    """

    subnetwork: str = "dense"
    level: int = 0
    density: float = 1.0
    axis_density: float = 1.0
    replicate: int


def columns(row: object, row_type: type) -> dict[str, object]:
    """Returns the columns of a row that are also those of another type of row."""
    names = [field.name for field in dataclasses.fields(row_type)]
    return {name: getattr(row, name) for name in names if hasattr(row, name)}
