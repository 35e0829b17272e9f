"""Registries: files found by themselves, mistakes named and never passed over."""

import sys

import pytest

from tflottery.core.registry import DATASETS, MODELS, PRETEXTS, Registry

_HEADER = "from registered_tools import TOOLS\n"


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A function of files {name: text} that returns the registry of their package."""
    package = tmp_path / "tools_package"
    package.mkdir()
    (package / "__init__.py").write_text("")

    def make(**files):
        for name, text in files.items():
            (package / f"{name}.py").write_text(_HEADER + text)
        registry = Registry("tool", "tools_package", attributes=("size",))
        holder = type(sys)("registered_tools")
        holder.TOOLS = registry
        monkeypatch.setitem(sys.modules, "registered_tools", holder)
        return registry

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for name in [name for name in sys.modules if name.startswith("tools_package")]:
        del sys.modules[name]


def _tool(name, size=1):
    return f"@TOOLS.register({name!r}, size={size})\ndef make():\n    return {name!r}\n"


def test_every_file_of_the_package_registers_at_the_first_look_up(tools):
    registry = tools(first=_tool("saw", 3), second=_tool("axe"))
    assert "tools_package" not in sys.modules
    assert registry["saw"].function() == "saw"
    assert (registry["saw"].name, registry["saw"]["size"]) == ("saw", 3)
    assert registry.names() == ["axe", "saw"]
    assert "axe" in registry and "spoon" not in registry


def test_unknown_name_lists_the_known_ones(tools):
    registry = tools(first=_tool("saw"), second=_tool("axe"))
    with pytest.raises(ValueError, match=r"no tool 'spoon'\. Known: axe, saw\."):
        registry["spoon"]


def test_broken_file_stops_every_look_up(tools):
    registry = tools(first=_tool("axe"), second="import no_such_module_at_all\n")
    for look in (lambda: registry["axe"], registry.names, lambda: "axe" in registry):
        with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
            look()


def test_name_registered_twice_names_both_modules(tools):
    registry = tools(first=_tool("saw"), second=_tool("saw"))
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            registry["saw"]
        for fact in ("tool 'saw'", "twice", "tools_package.first", "_package.second"):
            assert fact in str(caught.value)


def test_partial_registered_twice_names_the_module_of_its_function(tools):
    partial = (
        "import functools\ndef make(n):\n    return n\n"
        "TOOLS.register('saw', size=1)(functools.partial(make, 1))\n"
    )
    registry = tools(first=partial, second=partial)
    with pytest.raises(ValueError, match="tools_package.first and in tools_package.se"):
        registry.names()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, r"missing \['size'\], unknown \[\]"),
        ({"size": 1, "colour": 2}, r"missing \[\], unknown \['colour'\]"),
    ],
)
def test_attributes_are_exactly_those_declared(attributes, message):
    registry = Registry("tool", "no_package", attributes=("size",))
    with pytest.raises(ValueError, match=f"tool 'saw' .*{message}"):
        registry.register("saw", **attributes)


def test_the_packages_own_registries():
    assert {"lenet", "resnet20", "vgg16"} <= set(MODELS.names())
    assert {"cifar10", "digits", "mnist"} <= set(DATASETS.names())
    assert PRETEXTS["rotation"]["num_outputs"] == 4
    with pytest.raises(
        ValueError,
        match=r"no model 'lenett'\. Known: .*lenet, lenet_batch_norm, resnet18",
    ):
        MODELS["lenett"]
