"""Comparing two runs of the benchmarks."""

from __future__ import annotations

import json


def write(path, **ratios):
    rows = [
        {"what": what, "ratio": ratio, "spread": spread, "unit": unit} for what, (ratio, spread, unit) in ratios.items()
    ]
    path.write_text(json.dumps({"header": "", "results": {"part": [*rows, {"what": "no floor", "value": 3}]}}))


def test_only_what_changed_by_more_than_its_spread_is_named(command, tmp_path):
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    write(before, head=(1.1, 0.02, "ms"), search=(1.0, 0.3, "ms"), rate=(0.8, None, "images/s"), gone=(1, 0, "ms"))
    write(after, head=(1.3, 0.02, "ms"), search=(1.2, 0.3, "ms"), rate=(0.5, None, "images/s"), new=(2, 0, "ms"))
    lines = command("bench", "compare", before, after).stdout.splitlines()
    assert [line.split(":")[:2] for line in lines] == [["slower", " part, rate"], ["slower", " part, head"]]
    assert "18% (ratio 1.1 -> 1.3" in lines[1]
    lines = command("bench", "compare", after, before).stdout.splitlines()
    assert all(line.startswith("faster") for line in lines) and len(lines) == 2
    assert "nothing changed" in command("bench", "compare", before, before).stdout
    after.write_text("[]")
    assert "is no bench.json" in command("bench", "compare", before, after, check=2).stderr
