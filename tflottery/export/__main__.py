"""Writes a trained ticket as a file that others open, having compared it.

    python -m tflottery.export TICKET
        --format=keras|savedmodel|tflite|safetensors|bundle [--output=FILE]
        [--row=level=8,replicate=1] [--store=FOLDER]

TICKET is a .keras file of a masked model, a bundle, an address of a store (as the
columns network and mask of results hold, or as `python -m tflottery.store ls` prints),
or a table of results with --row: the number of a row, or columns and their values. What
was written is opened again, as users will, and run on test images; unless its outputs
are those that the package measures, up to rounding, no file is left.
"""

import os
import pathlib
import sys
from collections.abc import Mapping, Sequence

from absl import app, flags

from tflottery.core import command_line, paths, registry, stopping
from tflottery.core.environment import SetupError
from tflottery.export import resolving
from tflottery.export.resolving import ModelFile, StoredNetwork
from tflottery.store.errors import StoreError
from tflottery.training import process

# How files of each format end, the usual way first; "" is a folder.
_ENDINGS = {
    "keras": (".keras",),
    "savedmodel": ("",),
    "tflite": (".tflite",),
    "safetensors": (".safetensors",),
    "bundle": (".zip", ""),
}
# Flags that only some tickets have a use for.
_OF_MODEL_FILES, _OF_STORED = ("examples", "ticket"), ("inputs", "data_dir", "store")


def main() -> None:
    """Runs the tool as a program: defines its flags, parses them, exits.

    Changes: how this process handles the signals that ask it to stop.
    """
    stopping.handle(stopping.interrupt)
    flags.DEFINE_enum("format", None, list(_ENDINGS), "what is written")
    flags.DEFINE_string("output", None, "file or folder; None: named after the network")
    flags.DEFINE_string(
        "row",
        None,
        "of a table: its number, from 1, or columns and values: level=8,replicate=1",
    )
    flags.DEFINE_string(
        "store",
        None,
        "folder or URL that keeps what was trained; None: $TFLOTTERY_STORE, else "
        "~/.cache/tflottery/store",
    )
    flags.DEFINE_string("data_dir", None, "where tensorflow-datasets keeps its data")
    flags.DEFINE_enum(
        "inputs",
        resolving.PIXELS,
        [resolving.PIXELS, resolving.NORMALIZED],
        "of a network of a store: pixels from 0 to 255, as the data set gives them, or "
        "normalized as in training, for which no data set is needed",
    )
    flags.DEFINE_string(
        "examples",
        None,
        "of a .keras file: inputs to compare on, .npy or .npz; None: random numbers",
    )
    flags.DEFINE_string(
        "ticket",
        None,
        "of a .keras file: what tickets.save wrote, with the weights at k for a bundle",
    )
    flags.DEFINE_list("plugins", [], "modules that register models, or have layers")
    try:
        app.run(_main, flags_parser=command_line.parsed)
    except KeyboardInterrupt as interrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        sys.exit(stopping.exit_code(*interrupt.args))
    finally:
        # What is left is the end of the interpreter, with the exit code as it is.
        stopping.hold_back()


def _main(arguments: Sequence[str]) -> int:
    """Exports what the command line names; returns the exit code."""
    given = flags.FLAGS
    try:
        if len(arguments) != 2:
            raise ValueError(
                f"Name one ticket, got {len(arguments) - 1}: a file, an address of a "
                "store, or a table of results with --row. See --help."
            )
        if given.format is None:
            raise ValueError(f"Name a --format: {', '.join(_ENDINGS)}.")
        found = resolving.resolve(arguments[1], row=given.row, store=given.store)
        path = output_path(found, given.format, given.output)
        names = (*_OF_MODEL_FILES, *_OF_STORED)
        options = {n: given[n].value for n in names if given[n].present}
        validate_options(found, options)
        # Modules with layers import Keras, which has to be set up before.
        process.configure()
        sys.path.insert(0, os.getcwd())
        registry.load_plugins(given.plugins, named_by="--plugins")
        lines = exported(
            found,
            given.format,
            path,
            data_dir=given.data_dir,
            inputs=given.inputs,
            examples=given.examples,
            ticket=given.ticket,
        )
        print("\n".join(lines))
    except (ValueError, StoreError, OSError, SetupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return command_line.WRONG_INPUT
    return 0


def validate_options(
    found: ModelFile | StoredNetwork, options: Mapping[str, object]
) -> None:
    """Raises ValueError for options that are of other tickets.

    Args:
      found: what is exported.
      options: the values of the flags that were given.
    """
    is_stored = isinstance(found, StoredNetwork)
    is_keras = not is_stored and found.kind == resolving.KERAS
    for names, fits, whose in (
        (_OF_MODEL_FILES, is_keras, "a .keras file"),
        (_OF_STORED, is_stored, "a network of a store"),
    ):
        for name in options.keys() & names:
            if not fits:
                raise ValueError(f"--{name} is of {whose}: leave it out.")
    for name in options.keys() & _OF_MODEL_FILES:
        if not os.path.isfile(paths.expanded(options[name])):
            raise ValueError(f"--{name}={options[name]!r}: there is no such file.")


def output_path(
    found: ModelFile | StoredNetwork, form: str, output: str | None
) -> pathlib.Path:
    """Returns where an export goes.

    Args:
      found: what is exported.
      form: name of the format.
      output: what the user asked for; None: a name after the network, here.

    Raises:
      ValueError: something is there, or the name does not fit the format.
    """
    endings = _ENDINGS[form]
    if output is None:
        path = pathlib.Path(resolving.name_of(found) + endings[0])
    else:
        path = pathlib.Path(paths.expanded(output))
        others = {one for some in _ENDINGS.values() for one in some} - {""}
        # The name of a folder may have a dot in it, as in lenet_0.2.
        fits = path.suffix in endings or ("" in endings and path.suffix not in others)
        if "://" in output or not fits:
            expected = " or ".join(
                f"a name that ends in {one}" if one else "a folder's name"
                for one in endings
            )
            raise ValueError(
                f"--output={output!r} does not fit --format={form}: expected {expected}"
                " on this machine."
            )
    if path.exists():
        raise ValueError(
            f"There is a {str(path)!r} already: remove it, or name another --output."
        )
    return path


def exported(
    found: ModelFile | StoredNetwork,
    form: str,
    path: pathlib.Path,
    *,
    data_dir: str | None = None,
    inputs: str = resolving.PIXELS,
    examples: str | None = None,
    ticket: str | None = None,
) -> list[str]:
    """Exports a network; returns lines that say what came of it.

    Args:
      found: which one.
      form: name of the format.
      path: where it goes.
      data_dir: where tensorflow-datasets keeps its data.
      inputs: what the exported network takes, as --inputs.
      examples: of a .keras file: a file of inputs that are compared.
      ticket: of a .keras file: the ticket that it was trained from.

    Raises:
      ValueError: it cannot be opened, or what was written has other outputs.
    """
    # TensorFlow starts here, when all that is known without it was looked at.
    from tflottery.export import formats, model_files, stored_networks

    if isinstance(found, ModelFile):
        network = model_files.open_file(found, examples=examples, ticket=ticket)
    else:
        network = stored_networks.open_network(found, data_dir=data_dir, inputs=inputs)
    written = formats.export(network, formats.FORMATS[form], path)
    size = written.size
    return [
        f"{written.path}: {size.raw:,} bytes, {size.gzip:,} compressed by gzip",
        *(f"  {note}" for note in written.notes),
        f"  outputs on {network.num_examples} inputs differ by {written.difference:.2g}"
        " at most from those of the network that was measured",
    ]


if __name__ == "__main__":
    main()
