"""The goals of the benchmarks: each stands here once, and is judged by the ratio of the run that it is measured in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterable, Sequence


@dataclass(frozen=True)
class Goal:
    """What the ratio of a row is to be.

    Attributes:
        row: regular expression of the row's whole text ("what").
        limit: of the ratio.
        at_least: whether the ratio is to be at least the limit; else at most.
    """

    row: str
    limit: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"

    def verdict(self, ratio: float, spread: float | None) -> str:
        """reached, or missed, and whether by less than the spread of the rounds."""
        beyond = self.limit - ratio if self.at_least else ratio - self.limit
        if beyond <= 0:
            return "reached"
        return "missed, within the spread" if spread is not None and beyond <= spread else "missed"


_NETS = r"(mobilefacenet|r18|r50), batch \d+, "
# {benchmark: goals}
GOALS: dict[str, tuple[Goal, ...]] = {
    "backbone": (
        Goal(r"(r18|r50) whole step: PyTorch over ours, float32", 1.15, at_least=True),
        Goal(r"r50 whole step: bfloat16", 0.42),
        Goal(r"(r18|r50) whole step: PyTorch over ours, bfloat16", 1, at_least=True),
    ),
    "inference": (
        Goal(r"(r18|r50), batch \d+, folded, float32, beside MXNet's own PReLU", 0.75),
        Goal(r"(r18|r50), batch \d+, folded, float32", 0.75),
        Goal(r"(r18|r50), batch \d+, folded, bfloat16", 0.17),
        Goal(_NETS + r"PyTorch over folded, (float32|bfloat16)", 1, at_least=True),
    ),
    "precision": (
        Goal(r".*\(auto: bfloat16\)", 1),
        Goal(r".*\(auto: float32\)", 1, at_least=True),
    ),
    "head": (
        Goal(r"100,000 identities, batch 256: loss and all gradients, beside NumPy", 1.25),
        Goal(r"100,000 identities, batch 256: the same and the update of the centres, beside NumPy", 1.4),
        Goal(r"100,000 identities, batch 256: PyTorch autograd over ours", 2.5, at_least=True),
        Goal(r"1,000,000 identities, batch 64: step, beside products and one pass over .*", 1.3),
    ),
    "search": (Goal(r"best of the gallery, .*, beside faiss.*", 1.05),),
    "pipeline": (Goal(r"batches \(mirror\), on cpu\(0\), .* images, \d+ thread\(s\)", 0.8, at_least=True),),
    "identification": (
        Goal(r"MegaFace, CMC and ROC, .*", 1.3),
        Goal(r"MegaFace, rank-1 alone, beside faiss.*", 1.05),
        Goal(r"100,000 x 1,000,000, CMC and ROC, .*", 1.3),
    ),
    "templates": (
        Goal(r"pooling .*, beside the sparse product", 1.5),
        Goal(r"the same with lookup of the templates and the error curve", 1.5),
    ),
}  # fmt: skip


def judged(benchmark: str, rows: Iterable[dict]) -> list[dict]:
    """Rows, with "goal" ("≤ 1.25") and "verdict" where a goal is of them; an earlier judgement is forgotten."""
    found = []
    for row in rows:
        row = {key: value for key, value in row.items() if key not in ("goal", "verdict")}
        goal = next((goal for goal in GOALS.get(benchmark, ()) if re.fullmatch(goal.row, row["what"])), None)
        if goal and row.get("ratio") is not None:
            row = {**row, "goal": str(goal), "verdict": goal.verdict(row["ratio"], row.get("spread"))}
        found.append(row)
    return found


def unmeasured(benchmark: str, rows: Sequence[dict]) -> list[Goal]:
    """Goals of a benchmark that none of its rows has a ratio for: without the peers, or with --quick."""
    texts = [row["what"] for row in rows if row.get("ratio") is not None]
    return [goal for goal in GOALS.get(benchmark, ()) if not any(re.fullmatch(goal.row, text) for text in texts)]
