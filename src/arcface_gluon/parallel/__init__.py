"""How identities and batches are divided over devices and processes, and what travels between them."""

__all__ = [
    "collectives",
    "cost",
    "operators",
    "process_group",
    "processes",
    "products",
    "shards",
    "threads",
    "turns",
    "workers",
]
