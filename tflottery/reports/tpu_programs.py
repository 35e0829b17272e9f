"""What `--distribute=tpu` has each core of a TPU run, as programs, without a TPU.

TensorFlow's own TPUStrategy makes them: it is told of cores that are not there, traces
what the trainer or the evaluator gives it, and marks what the cores would run. That is
cut out of the graph and compiled, by XLA's first stages, to its language (HLO).

What is reached for inside of TensorFlow has no public name and changes: see the bounds
on its version in setup.cfg.
"""

import collections
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.python.tpu import tpu_system_metadata

# Of operations that only a TPU knows: what adds up over cores, and what hands around.
COLLECTIVES = ("CrossReplicaSum", "AllToAll")
_MARK = "_tpu_replicate"


class _Absent:
    """A TPU that is not there, as far as a strategy asks for it."""

    def __init__(self, num_cores: int):
        self._num_cores = num_cores

    def get_tpu_system_metadata(self) -> tpu_system_metadata.TPUSystemMetadata:
        """Returns how many cores there are, all of one host, and their names."""
        device = collections.namedtuple("device", "name")
        names = [f"/job:localhost/device:TPU:{one}" for one in range(self._num_cores)]
        return tpu_system_metadata.TPUSystemMetadata(
            num_cores=self._num_cores,
            num_hosts=1,
            num_of_cores_per_host=self._num_cores,
            topology=None,
            devices=[device(name) for name in names],
        )


def strategy_without_tpu(num_cores: int) -> tf.distribute.TPUStrategy:
    """Returns a strategy that traces for a TPU; its variables lie on logical CPUs.

    Args:
      num_cores: of the TPU; at most as many as there are logical CPUs.
    """
    strategy = tf.distribute.TPUStrategy(_Absent(num_cores))
    cpus = [one.name for one in tf.config.list_logical_devices("CPU")[:num_cores]]
    # As it would have it of a TPU.
    extended = strategy.extended
    extended._tpu_devices = np.array([[name] for name in cpus], dtype=object)
    extended._host_device = cpus[0]
    strategy._enable_packed_variable_in_eager_mode = False
    return strategy


class CoreProgram:
    """The program that each core runs of a function.

    Attributes:
      operations: how many of each kind of TensorFlow's operations it has.
      function: takes the core's number and the function's tensors one by one, and
        returns its results; changes the variables of the first core. XLA compiles it.
        It runs here if there is one core.
    """

    def __init__(
        self, strategy: tf.distribute.TPUStrategy, function: Callable, *given: object
    ):
        """Args:
        strategy: of `strategy_without_tpu`.
        function: what `strategy.run` is given; returns a tensor, or several.
        *given: what it takes, as (nested) specs of tensors, of static shape.
        """
        num_cores = strategy.num_replicas_in_sync

        @tf.function(autograph=False)
        def traced(*of_cores: tuple) -> object:
            parts = strategy.experimental_distribute_values_from_function(
                lambda context: of_cores[context.replica_id_in_sync_group]
            )
            return strategy.run(function, args=parts)

        # Kept: what it calls is gone from TensorFlow with it.
        self._traced = traced.get_concrete_function(*[given] * num_cores)
        graph = self._traced.graph
        marked = [one for one in graph.as_graph_def().node if _is_marked(one)]
        self.operations = collections.Counter(one.op for one in marked)
        self._specs, self.function = _cut_out(graph, marked, num_cores=num_cores)

    def hlo(self, *, as_text: bool = False) -> bytes | str:
        """Returns the program in XLA's language, before anything is optimized.

        What is of `COLLECTIVES` is called by its name: XLA for a CPU does not know it.

        Args:
          as_text: for people, and not as the serialized protocol buffer.
        """
        stages = self.function.experimental_get_compiler_ir(*self._specs)
        return stages(stage="hlo" if as_text else "hlo_serialized")


def _is_marked(node: tf.compat.v1.NodeDef) -> bool:
    """Returns whether a node is of what cores compute, and not of its frame."""
    return _MARK in node.attr and not node.op.startswith("TPU")


def _cut_out(
    graph: tf.Graph, marked: Sequence[tf.compat.v1.NodeDef], *, num_cores: int
) -> tuple[list[tf.TensorSpec], Callable]:
    """Returns what a program takes beside variables, and the program."""
    definition = graph.as_graph_def()
    outer = {inner.name: tensor for tensor, inner in graph.captures}
    body = tf.compat.v1.GraphDef(versions=definition.versions)
    body.library.CopyFrom(definition.library)
    names = {one.name for one in marked}
    for node in marked:
        shape = None
        if node.op in COLLECTIVES:
            shape = graph.get_tensor_by_name(f"{node.name}:0").shape
        body.node.append(_unmarked(node, names, shape=shape, num_cores=num_cores))
    used = {_node_of(one) for node in body.node for one in node.input} - names
    entries = [one for one in definition.node if one.name in used]
    sources = {one.name: _source_of(one) for one in entries}
    free = [name for name, source in sources.items() if source not in outer]
    results = [one.input[0] for one in definition.node if _is_result(one)]
    wanted = [one if ":" in one else f"{one}:0" for one in results]

    def program(*given: tf.Tensor) -> list[tf.Tensor]:
        inside = tf.compat.v1.get_default_graph()
        tensors = dict(zip(free, given, strict=True))
        for name in sources.keys() - tensors.keys():
            tensors[name] = inside.capture(outer[sources[name]])
        found = tf.graph_util.import_graph_def(
            body,
            input_map={f"{name}:0": tensor for name, tensor in tensors.items()},
            return_elements=[*wanted, *(one.name for one in marked)],
            name="core",
        )
        # Updates of variables are nobody's input.
        with tf.control_dependencies(found[len(wanted) :]):
            return [tf.identity(one) for one in found[: len(wanted)]]

    tensors = [graph.get_tensor_by_name(sources[name]) for name in free]
    specs = [tf.TensorSpec(one.shape, one.dtype) for one in tensors]
    return specs, tf.function(program, jit_compile=True, autograph=False)


def _source_of(node: tf.compat.v1.NodeDef) -> str:
    """Returns the tensor that enters a program by a node: of the first core, if any."""
    own = node.op == "TPUReplicatedInput"
    return f"{node.input[0] if own else node.name}:0"


def _is_result(node: tf.compat.v1.NodeDef) -> bool:
    """Returns whether a node hands a result of all cores to their host."""
    return node.op == "TPUReplicatedOutput"


def _node_of(source: str) -> str:
    """Returns the name of the node that an input of another comes from."""
    return source.removeprefix("^").partition(":")[0]


def _unmarked(
    node: tf.compat.v1.NodeDef,
    names: set[str],
    *,
    shape: tf.TensorShape | None,
    num_cores: int,
) -> tf.compat.v1.NodeDef:
    """Returns a node as any device has it.

    Args:
      node: of what is cut out.
      names: of all nodes of that.
      shape: of what a collective returns.
      num_cores: over which it is collective.
    """
    found = tf.compat.v1.NodeDef()
    found.CopyFrom(node)
    found.device = ""
    for attribute in [name for name in found.attr if name.startswith("_")]:
        del found.attr[attribute]
    kept = [one for one in node.input if one[0] != "^" or one[1:] in names]
    if node.op not in COLLECTIVES:
        del found.input[:]
        found.input.extend(kept)
        return found
    # The second input is who takes part: all do.
    del found.input[:]
    found.input.extend(kept[:1])
    kind = node.attr["T"].type
    found.attr.clear()
    if num_cores == 1:
        found.op = "Identity"
        found.attr["T"].type = kind
        return found
    found.op = "XlaCustomCallV2"
    found.attr["call_target_name"].s = node.op.encode()
    found.attr["backend_config"].s = b""
    found.attr["has_side_effect"].b = True
    for name in ("operand_dtypes", "result_dtypes"):
        found.attr[name].list.type.append(kind)
    found.attr["result_shapes"].list.shape.append(shape.as_proto())
    return found
