"""Modes: names, suffixes of files, and what is refused."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.report.mode import Mode, papers_mode, papers_mode_of_set
from arcface_gluon.report.paper import paper_tables


def test_every_table_of_the_paper_has_a_mode():
    flips = {table["number"]: papers_mode(key).flip for key, table in paper_tables().items()}
    single = {number for number, flip in flips.items() if not flip}
    assert single == {"3", "7", "9"}
    assert papers_mode("table4_lfw_ytf", "LFW").flip and not papers_mode("table4_lfw_ytf", "YTF").flip
    assert papers_mode_of_set("lfw").flip and papers_mode_of_set("mine").flip
    assert not papers_mode_of_set("ytf").flip and not papers_mode_of_set("demo_ytf").flip


def test_names_of_files_tell_other_modes_apart():
    ijb = papers_mode("table7_ijb")
    assert ijb.suffix(ijb) == ""
    other = Mode(True, norm_weight=True, detector_score=True, rule=ijb.rule)
    assert other.suffix(ijb) == "-mirror-detector-score-norm-weight"
    assert Mode(False).suffix(Mode(True)) == "-single"
    low = replace(ijb, precision="bfloat16")
    assert low.suffix(ijb) == "-bfloat16" and str(low) == f"{ijb}; bfloat16" and low != ijb
    modes = [Mode(flip, norm, score) for flip in (True, False) for norm in (True, False) for score in (True, False)]
    assert len({mode.suffix(ijb) for mode in modes}) == len({str(mode) for mode in modes}) == 8


def test_read_back_or_refused():
    mode = replace(papers_mode("table6_megaface"), norm_weight=True)
    assert Mode.read(asdict(mode), "x.json") == mode
    for entry in (
        None,
        [],
        "single",
        {},
        {"flip": None},
        {"flip": 1},
        {"flip": True, "rule": 3},
        {"flip": True, "precision": 16},
        {"flip": True, "x": 1},
    ):
        with pytest.raises(UserError, match="x.json: the mode"):
            Mode.read(entry, "x.json")
