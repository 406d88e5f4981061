"""What the tests of this folder count, and its table in docs/reliability.md."""

from __future__ import annotations

from arcface_gluon.report.measured_page import write_measured
from arcface_gluon.report.tables import markdown_table

_MARKS = "<!-- make test-faults DOCS=1 -->", "<!-- end -->"


class Ledger:
    """Counts by name.

    Attributes:
        kills: {command: (kills, of which ended as if undisturbed, file operations of the command)}.
        flips: {kind of file: (changes, {"detected", "harmless", "value-only": counts}, whether a checksum covers it)}.
        full: {command or file: how often its disk was full}.
        fuzz: {reader: inputs}.
    """

    def __init__(self):
        self.kills, self.flips, self.full, self.fuzz = {}, {}, {}, {}

    def tables(self) -> list[str]:
        """Lines of Markdown."""
        lines = []
        if self.kills:
            rows = [[name, *map(str, counts)] for name, counts in self.kills.items()]
            rows.append(["together", *(str(sum(counts[i] for counts in self.kills.values())) for i in (0, 1)), ""])
            lines += _table(["killed", "SIGKILLs", "then ended as if undisturbed", "file operations"], rows)
        if self.flips:
            kinds = ("detected", "harmless", "value-only")
            rows = [
                [
                    name,
                    str(changes),
                    *(str(counts[kind]) for kind in kinds),
                    covered if isinstance(covered, str) else "yes" if covered else "no",
                ]
                for name, (changes, counts, covered) in self.flips.items()
            ]
            sums = (sum(counts[kind] for _, counts, _ in self.flips.values()) for kind in kinds)
            rows.append(["together", str(sum(row[0] for row in self.flips.values())), *map(str, sums), ""])
            lines += _table(["bits flipped or file cut", "changes", *kinds, "checksum"], rows)
        if self.full:
            rows = [[name, str(times)] for name, times in self.full.items()]
            lines += _table(["disk full", "times; each refused in a line, and gone on with"], rows)
        if self.fuzz:
            rows = [[name, str(count)] for name, count in self.fuzz.items()]
            rows.append(["together", str(sum(self.fuzz.values()))])
            lines += _table(["fuzzed reader", "inputs; each read, or refused in a line"], rows)
        return lines

    def write(self, path) -> None:
        """Replace the part of a document between its marks by the tables."""
        write_measured(path, self.tables(), _MARKS)


def _table(heads, rows):
    return ["", *markdown_table(heads, rows), ""]
