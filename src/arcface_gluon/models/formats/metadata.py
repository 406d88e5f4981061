"""What an exported file says of itself: the recipe, the data, the loss, the licence and the weights it was made of."""

from __future__ import annotations

import json
from pathlib import Path

from ...files import read_json, sha256
from ...run_layout import RECIPE, run_of
from ..load import checkpoint_of, weights_file

LICENCE = (
    "The code is Apache-2.0. Weights are bound to the terms of the pictures they were trained on: {data}. Face sets "
    "(CASIA-WebFace, VGGFace2, MS1MV2, ORL ...) and weights made of them are for research unless their owners say more."
)


def metadata_of(path: str | Path) -> dict[str, str]:
    """{name: text} about a model: recipe (JSON), data, loss, license, source and sha256 of its weights.

    Args:
        path: what `load_model` takes. Folders of the machine it was trained on are left out.
    """
    path = Path(path)
    weights = weights_file(path)
    checkpoint = checkpoint_of(path) if path.is_dir() else None
    file = run_of(checkpoint.resolve()) / RECIPE if checkpoint else None
    recipe = read_json(file) if file and file.is_file() else {}
    data = dict(recipe.get("data") or {})
    if data.get("path"):
        data["path"] = Path(data["path"]).name
    recipe = {**recipe, "data": data} if recipe else {}
    known = str(data.get("path") or "not known here")
    name = file.parent.name if file and recipe else path.resolve().name
    return {
        "recipe": json.dumps({key: value for key, value in recipe.items() if key != "run"}),
        "data": known,
        "loss": str(recipe.get("loss", "not known here")),
        "license": LICENCE.format(data=known),
        "source": f"{name}/{checkpoint.name}" if checkpoint else name,
        "sha256": sha256(weights),
    }
