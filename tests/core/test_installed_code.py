"""Whether the code of two machines is told to be the same."""

import importlib
import shutil
import sys

from tflottery.core import installed_code


def test_code_is_the_same_wherever_it_lies_until_a_byte_differs(tmp_path, monkeypatch):
    package = tmp_path / "a" / "some_package"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/__init__.py", "inner/module.py"):
        (package / name).write_text(f"# {name}")

    def digest_in(folder):
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            patch.setitem(sys.modules, "some_package", None)
            del sys.modules["some_package"]
            importlib.import_module("some_package")
            return installed_code.digest("some_package")

    here = digest_in(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert digest_in(tmp_path / "b") == here
    (tmp_path / "b/some_package/inner/module.py").write_text("# other")
    assert digest_in(tmp_path / "b") != here
