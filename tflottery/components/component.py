"""What every component is: a frozen dataclass whose fields say what it makes.

After TFX's components: a component declares inputs, parameters and outputs, holds no
work of its own but `execute`, and knows nothing of caches, stores or processes. Its key
is a hash of its derivation (kind, version, parameters and the keys of its inputs),
known before anything runs. Names of experiments, paths and workers never enter.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping

from etils import epath

from tflottery.components.metadata import Facts
from tflottery.core import fingerprints
from tflottery.core.identities import Network
from tflottery.training.runtime import Runtime

if typing.TYPE_CHECKING:
    from tflottery.components.runs import Run


class Artifact:
    """Something that a store holds.

    Attributes:
      key: hash of its derivation.
      address: the folder of a store it belongs in.
      files: names of the files it promises.
      sources: the artifacts that it is made from.
    """

    key: str
    address: str
    files: tuple[str, ...]
    sources: tuple["Artifact", ...]

    def num_bytes(self, facts: Mapping[Network, Facts]) -> int:
        """Returns about what the promised files take on disk."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Context:
    """What a component sees of the job that executes it, which holds more: the store.

    Attributes:
      inputs: the folder of each input, by field name.
      output: the folder for the promised files.
      runtime: the process's networks and data.
      remembered: what an interrupted execution of the same component last remembered;
        None at the first.
      remember: takes partial results (plain lists and numbers, that save a later
        execution the work) and the fraction of the work done. To be called every few
        seconds; most calls cost nothing. Raises where the work has to stop.
    """

    inputs: Mapping[str, epath.Path]
    output: epath.Path
    runtime: Runtime
    remembered: object | None
    remember: Callable[[object, float], None]


class Absent(Exception):
    """What a component is to make does not exist; says why.

    No failure: whoever asks is told so, and what would be made from it is left out.
    """

    def __init__(self, reason: str, *, diverged_iteration: int | None = None):
        """Args:
        reason: why.
        diverged_iteration: when the training diverged that it is to be the end of.
        """
        super().__init__(reason)
        self.diverged_iteration = diverged_iteration


class Passes(typing.NamedTuple):
    """Images that a network is shown, without learning from them.

    Attributes:
      run: a training of that network, on the same data and device.
      number: of the images; one whose gradient is taken counts several times.
    """

    run: "Run"
    number: int


@dataclasses.dataclass(frozen=True)
class Component(Artifact):
    """A step that makes one artifact out of others.

    A subclass is a frozen dataclass. Fields that are artifacts are its inputs, all
    others its parameters. `KIND` names it in keys, so that the class may be renamed;
    `VERSION` is raised by hand when results change.
    """

    KIND: typing.ClassVar[str]
    VERSION: typing.ClassVar[int]
    FOLDER: typing.ClassVar[str]
    FILES: typing.ClassVar[tuple[str, ...]]

    @functools.cached_property
    def key(self) -> str:
        """Hash of the derivation."""
        return fingerprints.key_of(self)

    @functools.cached_property
    def address(self) -> str:
        """The folder of a store this belongs in."""
        return f"{self.FOLDER}/{self.key}"

    @property
    def files(self) -> tuple[str, ...]:
        """The files this promises."""
        return self.FILES

    @functools.cached_property
    def inputs(self) -> dict[str, Artifact]:
        """The fields that are artifacts, by name."""
        values = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }
        for name, value in values.items():
            # Would enter the key, but nobody would make it first.
            if isinstance(value, list | tuple) and any(
                isinstance(one, Artifact) for one in value
            ):
                raise TypeError(
                    f"{type(self).__name__}.{name} holds several artifacts: an input "
                    "is a field of its own."
                )
        return {
            name: value for name, value in values.items() if isinstance(value, Artifact)
        }

    @property
    def sources(self) -> tuple[Artifact, ...]:
        """The artifacts that it is made from."""
        return tuple(self.inputs.values())

    def execute(self, context: Context) -> None:
        """Makes the promised files in the context's output folder.

        Reads nothing but the inputs and writes nowhere else.

        Raises:
          Absent: the inputs show that there is no such artifact.
        """
        raise NotImplementedError

    def passes(self) -> Passes | None:
        """Returns the forward passes that executing this takes; None: hardly any."""
        return None

    def num_updates(self) -> int:
        """Returns how many updates of weights executing this makes."""
        return 0

    def flops(self, facts: Mapping[Network, Facts]) -> float:
        """Returns about what executing this costs, for the plan's estimate."""
        passes = self.passes()
        if passes is None:
            return 0.0
        return float(passes.number * facts[passes.run.network].flops_per_example)

    def num_bytes(self, facts: Mapping[Network, Facts]) -> int:
        """Returns about what the promised files take on disk."""
        del facts
        return 4096
