"""Data flows one way: a module imports only from layers below its own."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "arcface_gluon"

# Each layer may import from the ones before it; layers on one line never import each other.
LAYERS = [
    ["errors"],
    ["files", "named", "gpus", "progress", "blas", "arrays", "run_layout", "lazy"],
    ["runtime", "recipe", "parallel"],
    ["data", "models", "losses", "protocols"],
    ["training"],
    ["embed_batches"],
    ["embed", "detect"],
    ["recognition"],
    ["report"],
    ["evaluation", "server"],
    ["cli"],
]
LEVEL = {name: i for i, row in enumerate(LAYERS) for name in row}


def layer_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def targets(path, hints=True):
    """Dotted names that a file imports, each as a list; imports inside functions too.

    Args:
        hints: those below `if TYPE_CHECKING:` as well.
    """
    package = path.relative_to(PACKAGE.parent).with_suffix("").parts[:-1]
    nodes = [ast.parse(path.read_text(encoding="utf-8"))]
    for node in nodes:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING" and not hints:
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            full = base + (node.module.split(".") if node.module else [])
            yield from (full + [alias.name] for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)


def imports(path):
    """Layers that a file imports from inside the package."""
    for target in targets(path):
        if target[0] == "arcface_gluon" and len(target) > 1 and target[1] in LEVEL:
            yield target[1]


def module_graph():
    """{module: modules of the package that it cannot run without}, packages on the way to them included.

    Hints are left out, for they are never imported when the program runs; imports inside functions are not, for they
    only put a circle off. A module's own package is loaded before it, and counts where something is taken from it.
    """
    paths = {path.relative_to(PACKAGE.parent).with_suffix("").parts: path for path in PACKAGE.rglob("*.py")}
    paths = {name[:-1] if name[-1] == "__init__" else name: path for name, path in paths.items()}
    graph = {}
    for name, path in paths.items():
        graph[name] = set()
        for target in targets(path, hints=False):
            on_the_way = [part for part in (tuple(target[:n]) for n in range(1, len(target) + 1)) if part in paths]
            graph[name] |= {part for part in on_the_way if part != name[: len(part)] or part == on_the_way[-1]}
        graph[name].discard(name)
    return graph


def circle(graph):
    """The nodes that can reach themselves, and those between; empty where none can."""
    left, before = dict(graph), 0
    while len(left) != before:
        before, asked = len(left), set().union(*left.values()) if left else set()
        left = {name: needed & set(left) for name, needed in left.items() if needed & set(left) and name in asked}
    return sorted(left)


def test_every_module_has_a_layer():
    outside = {"__init__", "__main__"}
    assert {layer_of(p) for p in PACKAGE.rglob("*.py")} - outside == set(LEVEL)


def test_no_layer_imports_a_higher_one():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        layer = layer_of(path)
        if layer not in LEVEL:
            continue
        for target in imports(path):
            if target != layer and LEVEL[target] >= LEVEL[layer]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {target}")
    assert not wrong


def test_no_module_needs_itself():
    assert not [".".join(name) for name in circle(module_graph())]


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == ["b", "c"]
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_package_imports_none_of_the_scripts():
    scripts = {"recipes", "datasets", "eval", "benchmarks", "tests"}
    for path in PACKAGE.rglob("*.py"):
        assert not scripts & {target[0] for target in targets(path)}, path
