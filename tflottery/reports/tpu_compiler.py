"""The compiler for TPUs, without one: libtpu compiles for any topology on a CPU.

It runs in a process of its own, since libtpu and TensorFlow do not share one. What is
reached for inside of jax and jaxlib has no public name: their versions are pinned in
the extra `tpu-check`.
"""

import concurrent.futures
import dataclasses
import importlib.metadata
import multiprocessing
import os
import re
import time

PINNED = {"jax": "0.10.2", "jaxlib": "0.10.2", "libtpu": "0.0.52"}
_COLLECTIVE = re.compile(
    r"(%\w+) = stablehlo\.custom_call @(CrossReplicaSum|AllToAll)\((%\w+(?:#\d+)?)\)"
    r".*: \((tensor<[^>]*>)\) -> tensor<[^>]*>"
)
# Operations that wait for the host.
_TRANSFERS = ("infeed", "outfeed", "send", "recv")


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What came of a program.

    Attributes:
      seconds: that it took.
      memory_bytes: of a chip's memory: arguments, results, what lies between, code.
      temporary_bytes: of these, what lies between.
      num_all_reduces: sums over all chips; of many tensors each, as a rule.
      num_all_to_alls: exchanges between all chips.
      num_host_transfers: operations in it that wait for the host.
      fault: why it does not compile, or None.
    """

    seconds: float
    memory_bytes: int | None = None
    temporary_bytes: int | None = None
    num_all_reduces: int | None = None
    num_all_to_alls: int | None = None
    num_host_transfers: int | None = None
    fault: str | None = None


def validate_installed() -> None:
    """Raises ValueError unless the extra `tpu-check` is installed."""
    found = {}
    for name in PINNED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    if found != PINNED:
        told = ", ".join(f"{name} {version}" for name, version in found.items())
        wanted = ", ".join(f"{name} {version}" for name, version in PINNED.items())
        raise ValueError(
            f"Compiling for a TPU takes {wanted}; found {told}. Install the extra, "
            "which is 0.9 GB: pip install -e '.[tpu-check]'"
        )


def compiled(hlo: bytes, topology: str) -> Compiled:
    """Compiles a program for every chip of a topology, in a new process.

    Args:
      hlo: serialized, of `tpu_programs`.
      topology: such as "v5e:2x2".
    """
    spawned = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawned) as pool:
        began = time.perf_counter()
        try:
            return pool.submit(_compiled, hlo, topology).result()
        except concurrent.futures.process.BrokenProcessPool:
            fault = "the compiler's process was killed: too little memory here?"
            return Compiled(seconds=time.perf_counter() - began, fault=fault)


def with_collectives(text: str, *, num_chips: int) -> str:
    """Returns a program in StableHLO whose calls of collectives are collectives.

    Args:
      text: the program.
      num_chips: all of which take part.
    """
    chips = ", ".join(map(str, range(num_chips)))
    groups = f"replica_groups = dense<[[{chips}]]> : tensor<1x{num_chips}xi64>"

    def written(found: re.Match) -> str:
        result, name, argument, kind = found.groups()
        types = f"({kind}) -> {kind}"
        if name == "AllToAll":
            return (
                f'{result} = "stablehlo.all_to_all"({argument}) {{split_dimension = 0 '
                f": i64, concat_dimension = 0 : i64, split_count = {num_chips} : i64, "
                f"{groups}}} : {types}"
            )
        number = result.removeprefix("%")
        scalar = "tensor<" + kind.removeprefix("tensor<").split("x")[-1]
        return (
            f'{result} = "stablehlo.all_reduce"({argument}) ({{\n'
            f"^bb0(%l{number}: {scalar}, %r{number}: {scalar}):\n"
            f"%s{number} = stablehlo.add %l{number}, %r{number} : {scalar}\n"
            f"stablehlo.return %s{number} : {scalar}\n"
            f"}}) {{{groups}}} : {types}"
        )

    return _COLLECTIVE.sub(written, text)


def _compiled(hlo: bytes, topology: str) -> Compiled:
    """Compiles a program in this process, which has never started TensorFlow."""
    # No TPU is asked for here, nor the server that tells a TPU VM of itself.
    os.environ |= {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1"}
    # And none is used, so that several processes may compile at the same time.
    os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"
    # libtpu prints that it is on no such machine.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    from jax._src import compiler
    from jax._src.interpreters import mlir
    from jax._src.lib.mlir import ir
    from jax.experimental import topologies
    from jaxlib import _jax, xla_client

    chips = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    text = _jax.mlir.xla_computation_to_mlir_module(xla_client.XlaComputation(hlo))
    # Has no form in StableHLO, and no effect.
    text = re.sub(
        r"mhlo\.copy (%\S+) : (tensor<[^>]*>)",
        r"stablehlo.optimization_barrier \1 : \2",
        text,
    )
    text = with_collectives(text, num_chips=len(chips))
    context = mlir.make_ir_context()
    with context, ir.Location.unknown(context):
        module = ir.Module.parse(text)
    options = compiler.get_compile_options(
        num_replicas=len(chips),
        num_partitions=1,
        device_assignment=[[chip.id] for chip in chips],
    )
    began = time.perf_counter()
    try:
        program = chips[0].client.compile(
            module, _jax.DeviceList(tuple(chips)), options
        )
    except _jax.JaxRuntimeError as error:
        fault = " ".join(str(error).split())[:300]
        return Compiled(seconds=time.perf_counter() - began, fault=fault)
    seconds = time.perf_counter() - began
    return _described(program, seconds)


def _described(program: object, seconds: float) -> Compiled:
    """Returns what is told of a compiled program."""
    memory = program.get_compiled_memory_stats()
    text = program.hlo_modules()[0].to_string()

    def count(*names: str) -> int:
        pattern = rf"\b(?:{'|'.join(names)})\("
        return len(re.findall(pattern, text))

    return Compiled(
        seconds=seconds,
        memory_bytes=memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        num_all_reduces=count("all-reduce", "all-reduce-start"),
        num_all_to_alls=count("all-to-all"),
        num_host_transfers=count(*_TRANSFERS),
    )
