"""What the package imports, setup.py names; and it names nothing that is not imported."""

from __future__ import annotations

import ast
import re
import sys

import pytest
import setuptools
from helpers import ROOT

# Distributions that are imported by another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "mlflow": "mlflow-skinny",
    "pytorch_metric_learning": "pytorch-metric-learning",
    "sklearn": "scikit-learn",
}
# Installed by scripts/make_venv.sh alone: what they ask for would replace other packages.
BY_SCRIPT = {"insightface", "facenet_pytorch"}
# Folders and files that are nothing without an extra.
OPTIONAL = {"src/arcface_gluon/server", "benchmarks/torch_networks.py"}
NOT_IMPORTED = {"setuptools"}  # by MXNet, on new versions of Python

pytestmark = pytest.mark.skipif(sys.version_info < (3, 10), reason="needs the names of the standard library")


@pytest.fixture(scope="module")
def named():
    """({distributions that are always installed}, {those of an extra})."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", found.update)
        patch.chdir(ROOT)
        exec(compile((ROOT / "setup.py").read_text(encoding="utf-8"), "setup.py", "exec"), {})

    def names(requirements):
        return {re.match(r"[\w-]+", one)[0] for one in requirements}

    extras = {extra: names(ones) for extra, ones in found["extras_require"].items() if extra != "dev"}
    return names(found["install_requires"]), set().union(*extras.values())


def imported():
    """{distribution: (a file, whether it needs it to be imported itself)} of all that is outside the package."""
    found = {}
    for folder in ("src", "recipes", "datasets", "eval", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                modules = []
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    modules = [node.module]
                elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_optional":
                    modules = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
                for module in {module.split(".")[0] for module in modules}:
                    if module not in sys.stdlib_module_names and module != "arcface_gluon":
                        _, before = found.get(name := DISTRIBUTIONS.get(module, module), ("", False))
                        place = path.relative_to(ROOT)
                        itself = node in tree.body and not {str(place), str(place.parent)} & OPTIONAL
                        found[name] = path.relative_to(ROOT), before or itself
    return found


def test_setup_names_everything_that_is_imported(named):
    always, extras = named
    for name, (path, itself) in imported().items():
        assert name in always | extras | BY_SCRIPT, f"{path} imports {name}, which setup.py does not name"
        assert not itself or name in always | {"mxnet"}, f"{path} cannot be imported without the extra that has {name}"


def test_everything_that_is_always_installed_is_imported(named):
    assert named[0] - NOT_IMPORTED <= set(imported())
