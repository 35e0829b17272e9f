"""The output folder: a CSV per table, config.json and figure.png."""

import dataclasses
import io
import json
import types
import uuid
from collections.abc import Mapping, Sequence

from etils import epath

from tflottery.core import fingerprints, paths, tables
from tflottery.figures import style
from tflottery.store import manifests
from tflottery.studies.study import Study

CONFIG_FILE, FIGURE_FILE = "config.json", "figure.png"


class Output:
    """Where an experiment's results go; holds no others."""

    def __init__(self, module: types.ModuleType, *studies: Study, folder: str | None):
        """Args:
        module: the experiment.
        *studies: whose results they are; one, but for an experiment over networks.
        folder: the folder; None is one named after experiment and configuration.

        Raises:
          ValueError: the folder holds other results.
        """
        self._module = module
        self._studies = studies
        self._experiment = module.__name__.rsplit(".", 1)[-1]
        default = epath.Path("results", self._experiment, _name(studies))
        self.folder = epath.Path(paths.expanded(folder)) if folder else default
        self._check()

    def claim(self) -> None:
        """Writes config.json, so that the folder is this study's from now on."""
        text = json.dumps(self._description(), indent=2) + "\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._replace(CONFIG_FILE, text.encode())
        except OSError as error:
            raise ValueError(
                f"--output_dir={str(self.folder)!r} cannot be written: "
                f"{error.strerror or error}. Name another."
            ) from error

    def write(self, rows: Mapping[str, Sequence[object]]) -> None:
        """Writes the tables and draws the figure from them.

        A folder that was removed meanwhile is made again.
        """
        if not (self.folder / CONFIG_FILE).exists():
            self.claim()
        frames = {}
        for name, table in rows.items():
            path = self.folder / f"{name}.csv"
            tables.write(table, path, row_type=self._module.TABLES[name])
            frames[name] = tables.read(path)
        draw = getattr(self._module, "figure", None)
        first = next(iter(self._module.TABLES))
        if draw is None or not len(frames[first]):
            return
        with style.plain():
            drawn = draw(frames, self._studies[0])
            if drawn is None:
                return
            image = io.BytesIO()
            drawn.savefig(image, format="png", dpi=150)
        self._replace(FIGURE_FILE, image.getvalue())

    def _replace(self, name: str, data: bytes) -> None:
        """Writes a file of the folder, whole or not at all."""
        draft = self.folder / f".{name}.{uuid.uuid4().hex[:8]}"
        try:
            draft.write_bytes(data)
            draft.replace(self.folder / name)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

    def _check(self) -> None:
        """Raises ValueError if the folder is not free for this study."""
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise ValueError(
                f"--output_dir={str(self.folder)!r} is no folder. Name another."
            )
        # Hidden files are what a killed process left of its drafts, or the system's.
        if all(one.name.startswith(".") for one in self.folder.iterdir()):
            return
        path = self.folder / CONFIG_FILE
        if not path.exists():
            raise ValueError(
                f"--output_dir={str(self.folder)!r} is not empty and has no "
                f"{CONFIG_FILE}: it is not a folder of results. Name another."
            )
        theirs = _read(path)
        ours = self._description()
        wanted = {"experiment": ours["experiment"], **ours["decisions"]}
        decided = {
            "experiment": theirs.get("experiment"),
            **theirs.get("decisions", {}),
        }
        differing = sorted(
            f"{name}: {decided.get(name)!r} there, {wanted.get(name)!r} asked for"
            for name in decided.keys() | wanted.keys()
            if decided.get(name) != wanted.get(name)
        )
        if not differing:
            return
        raise ValueError(
            f"--output_dir={str(self.folder)!r} holds other results "
            f"({'; '.join(differing)}). Name another."
        )

    def _description(self) -> dict[str, object]:
        """Returns what config.json says."""
        described = {study.name: _described(study) for study in self._studies}
        if len(self._studies) == 1:
            (parts,) = described.values()
        else:
            parts = {
                part: {name: one[part] for name, one in described.items()}
                for part in ("decisions", "recipe", "data")
            }
        return {
            "experiment": self._experiment,
            **parts,
            "environment": manifests.environment(),
        }


def _name(studies: Sequence[Study]) -> str:
    """Returns a name for the folder of these studies and no others."""
    names = [study.name for study in studies]
    if len(names) == 1:
        return names[0]
    return f"{len(names)}-networks-{fingerprints.fingerprint(names, length=8)}"


def _described(study: Study) -> dict[str, object]:
    """Returns what config.json says of a study."""
    return {
        "decisions": json.loads(json.dumps(study.decisions())),
        "recipe": json.loads(json.dumps(dataclasses.asdict(study.recipe))),
        "data": fingerprints.fields(study.facts.data),
    }


def _read(path: epath.Path) -> dict[str, object]:
    """Returns what a config.json says.

    Raises:
      ValueError: it is none.
    """
    try:
        found = json.loads(path.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(
            f"{str(path)!r} is not a {CONFIG_FILE} that an experiment wrote. Remove it "
            "if the folder holds nothing of value, or name another --output_dir."
        )
    return found
