"""Names of the paper's MXNet code (insightface, recognition/arcface_mxnet) that mean exactly one thing here."""

from __future__ import annotations

# Network there → arguments of models.get_model. Other depths, such as r74, have the same name here.
NETWORKS: dict[str, dict] = {
    "r100fc": {"name": "r100", "options": {"output": "I"}},  # their output FC: E without dropout
    "y1": {"name": "mobilefacenet", "embedding_size": 128},
    "y2": {"name": "mobilefacenet", "embedding_size": 256, "options": {"blocks": [2, 8, 16, 4]}},
}
LOSSES = {"nsoftmax": "norm-softmax", "combined": "cm1"}
# Data set there, with its default network and loss → recipe.
RECIPES = {"emore": "ms1mv2_r100"}


def expanded(key: str, text: str) -> list[tuple[str, str]]:
    """The overrides (name, value) that one of them stands for: itself, unless its value is such a name."""
    if key == "loss":
        return [(key, LOSSES.get(text, text))]
    if key == "network.name" and text in NETWORKS:
        names = {"name": "network.name", "embedding_size": "network.embedding_size", "options": "network.options"}
        return [(names[name], str(value)) for name, value in NETWORKS[text].items()]
    return [(key, text)]
