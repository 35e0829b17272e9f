"""Whether an experiment fills columns that its rows have: known before it trains.

Rows are made of results, at the end of all work: a name that is misspelt there would
end a command of days with a traceback. The experiment's text tells as much at once.
"""

import ast
import dataclasses
import inspect
import types
from collections.abc import Iterator

from tflottery.core import suggestions


def refuse_unknown(module: types.ModuleType) -> None:
    """Raises ValueError if an experiment gives one of its rows a column it has not.

    Args:
      module: the experiment.
    """
    for call, row_type in _rows_made(module):
        known = [field.name for field in dataclasses.fields(row_type)]
        for name in (keyword.arg for keyword in call.keywords):
            # Of **names it is not known here which they are.
            if name is not None and name not in known:
                meant = suggestions.meant(name, known)
                raise ValueError(
                    f"{module.__file__}, line {call.lineno}: {row_type.__name__} has "
                    f"no column {name!r}.{meant} Known: {', '.join(known)}."
                )


def _rows_made(module: types.ModuleType) -> Iterator[tuple[ast.Call, type]]:
    """Yields where a module's text makes a row of one of its tables, and of which."""
    row_types = {
        name: found
        for name, found in vars(module).items()
        if found in module.TABLES.values() and dataclasses.is_dataclass(found)
    }
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in row_types:
                yield node, row_types[node.func.id]
