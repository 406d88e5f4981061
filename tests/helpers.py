"""What several test files use; on the import path through pyproject.toml."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# A network and schedule small enough for a test, through the same options that users have.
TINY = [
    "network.name=r18",
    "network.options={'width': 0.125, 'units': [1, 1, 1, 1]}",
    "network.embedding_size=32",
    "train.batch_size=16",
    "train.lr=0.05",
    "train.lr_steps=[]",
    "train.log_every=1",
]


def start(arguments, folder, **options):
    """The command line as a process of its own, to be signalled or limited."""
    return subprocess.Popen([sys.executable, "-m", "arcface_gluon", *map(str, arguments)], cwd=folder, **options)
