"""The data sets of the paper's Table 1: what each is and where it is asked for, and which of them are here."""

__all__ = ["present", "table1"]
