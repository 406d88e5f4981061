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
    ["embed", "detect"],
    ["report"],
    ["evaluation"],
    ["cli"],
]
LEVEL = {name: i for i, row in enumerate(LAYERS) for name in row}


def layer_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    """Layers that a file imports from inside the package."""
    inside = path.relative_to(PACKAGE.parent).with_suffix("").parts
    package = inside if path.name == "__init__.py" else inside[:-1]
    if path.name == "__init__.py":
        package = inside[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            full = base + (node.module.split(".") if node.module else [])
            targets = [full + [alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] == "arcface_gluon" and len(target) > 1 and target[1] in LEVEL:
                yield target[1]


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


def test_package_imports_none_of_the_scripts():
    scripts = {"recipes", "datasets", "eval", "benchmarks", "tests"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert not scripts & {name.split(".")[0] for name in names}, path
