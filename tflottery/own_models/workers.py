"""Worker processes that train a user's model: how they find what they are to train.

They are started anew and import the program of their parent, as those of the commands,
so functions and classes are found by their modules and names; arrays are sent. Each
builds and compiles the model for itself, and says if that is another problem there.
"""

import dataclasses
import functools
import multiprocessing
import pickle
import pickletools
import sys
from collections.abc import Callable, Sequence
from multiprocessing import reduction

import tensorflow as tf

from tflottery.components.component import Artifact
from tflottery.core.environment import SetupError
from tflottery.execution import worker
from tflottery.execution.inline import InlinePool
from tflottery.execution.job_context import JobContext
from tflottery.execution.pool import Pool
from tflottery.execution.worker import Message, WorkerSettings
from tflottery.own_models import own_components
from tflottery.own_models.problem import Problem
from tflottery.own_models.update_loop import UpdateLoop

_INSTEAD = (
    "Or leave `workers` out and start the program several times: each takes what no "
    "other is at."
)


def validate(problem: Problem, workers: int) -> None:
    """Raises ValueError unless so many processes can be given the problem."""
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers={workers!r}, expected a whole number from 1.")
    if workers == 1:
        return
    # This may be a worker that imports a program without a main guard.
    worker.end_if_imported_again()
    if tf.config.list_physical_devices("GPU"):
        raise ValueError(
            f"workers={workers}, but this process has a GPU, whose memory workers "
            "would have to share. Start the program once for each GPU, with "
            "CUDA_VISIBLE_DEVICES."
        )
    try:
        sent, _ = _parts(problem)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"workers={workers}, but workers cannot find all of build_model, "
            f"optimizer, loss and metrics: {error}. They import functions and classes, "
            "which stand at the top of a module or of the program. " + _INSTEAD
        ) from error
    main = sys.modules["__main__"]
    found = {argument for _, argument, _ in pickletools.genops(sent)}
    if "__main__" in found and not (
        getattr(main, "__spec__", None) or getattr(main, "__file__", None)
    ):
        raise ValueError(
            f"workers={workers}, but workers cannot import what a notebook's cell or "
            "a console defines. Write the functions and classes into a module, and "
            "import them from there. " + _INSTEAD
        )


def pool(
    problem: Problem, key: str, *, settings: WorkerSettings, workers: int
) -> InlinePool | Pool:
    """Returns what does the jobs of a problem.

    Args:
      problem: as validated.
      key: of the problem in this process.
      settings: of each worker.
      workers: how many processes; 1 is this one itself.
    """
    if workers == 1:
        return InlinePool(settings, set_up=worker.contexts)
    set_up = functools.partial(_set_up, *_parts(problem), key)
    return Pool([settings] * workers, set_up=set_up)


def validate_depth(goals: Sequence[Artifact]) -> None:
    """Raises ValueError if what is wanted goes too deep to be sent to a worker."""
    try:
        reduction.ForkingPickler.dumps(goals)
    except RecursionError as error:
        raise ValueError(
            "So many levels cannot be sent to workers: prune more at a time by "
            "pruning_fraction, or leave `workers` out."
        ) from error


def _parts(problem: Problem) -> tuple[bytes, dict[str, object]]:
    """Returns what a worker makes a problem of: a pickle, and what replaces fields.

    A pickle that it opens itself: what it cannot find there it can tell.
    """
    sent = reduction.ForkingPickler.dumps(problem.without_examples())
    names = ("train", "test", "batch_size")
    return bytes(sent), {name: getattr(problem, name) for name in names}


def _set_up(
    sent: bytes,
    examples: dict[str, object],
    key: str,
    settings: WorkerSettings,
    *,
    send: Callable[[Message], None],
    stopping: Callable[[], bool],
) -> Callable[[], JobContext]:
    """Readies a worker for the jobs of a problem: as `worker.set_up`.

    Raises:
      SetupError: the problem is another one here, or not to be found.
    """
    name = multiprocessing.current_process().name
    try:
        problem = dataclasses.replace(pickle.loads(sent), **examples)
    except (AttributeError, ImportError) as error:
        raise SetupError(
            f"{name} cannot find all of build_model, optimizer, loss and metrics: "
            f"{error}. It imports the program and its modules, so functions and "
            'classes stand at their top, above `if __name__ == "__main__":`. '
            + _INSTEAD
        ) from error
    try:
        loop = UpdateLoop(problem)
        found = loop.key
    except ValueError as error:
        raise SetupError(f"In {name}: {error}") from error
    if found != key:
        raise SetupError(
            f"In {name} the same training comes to something else. Settings of Keras, "
            "TensorFlow and seeds of your own belong at the top of the program or into "
            "build_model, so that workers, which import it, make them too. " + _INSTEAD
        )
    own_components.keep(loop)
    return worker.contexts(settings, send=send, stopping=stopping)
