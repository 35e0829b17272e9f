"""docs/tutorial.ipynb: a sound notebook, whose cells run in order."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import tflottery

_ROOT = pathlib.Path(tflottery.__file__).parents[1]
_PAGE = _ROOT / "docs/tutorial.ipynb"
pytestmark = pytest.mark.skipif(
    not _PAGE.exists(), reason="an installed package comes without docs/"
)
# As a kernel runs it, where there is one; else as Python runs the cells.
_RUN = """
import json, sys

try:
    import ipykernel, nbclient, nbformat
except ImportError:
    known = {"__name__": "__main__"}
    for cell in json.load(open(sys.argv[1]))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), known)
else:
    page = nbformat.read(sys.argv[1], as_version=4)
    nbclient.NotebookClient(page, timeout=1800, kernel_name="python3").execute()
    for cell in page.cells:
        for output in cell.get("outputs", ()):
            print(output.get("text") or sorted(output.get("data", {})))
"""


def test_it_is_a_notebook_without_outputs():
    page = json.loads(_PAGE.read_text())
    assert (page["nbformat"], page["nbformat_minor"]) == (4, 5)
    cells = page["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells) > 10
    for cell in cells:
        common = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert cell.keys() == common | {"execution_count", "outputs"}
            assert cell["execution_count"] is None and cell["outputs"] == []
            compile("".join(cell["source"]), cell["id"], "exec")
        else:
            assert cell["cell_type"] == "markdown" and cell.keys() == common
        assert all(isinstance(line, str) for line in cell["source"])


@pytest.mark.slow
def test_its_cells_run(tmp_path):
    folders = {"TFLOTTERY_STORE": f"{tmp_path}/store", "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(_PAGE)],
        cwd=tmp_path,
        env=os.environ | folders,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "best k" in done.stdout and "weights kept" in done.stdout
    assert (tmp_path / "ticket.keras").exists()
    assert len(list(tmp_path.glob("results/*/*/figure.png"))) == 2
