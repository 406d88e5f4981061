"""The paper's numbers as shipped."""

from __future__ import annotations

from arcface_gluon.data.verification.sets import SET_COLUMNS
from arcface_gluon.report.paper import is_papers_training_set, paper_rows, paper_tables, paper_value


def test_some_cells_as_printed():
    assert paper_value("table2_losses", "ArcFace (0.5)", "AgeDB-30") == 95.15
    assert paper_value("table3_angles_degrees", "W-EC", "ArcFace") == 14.29
    assert paper_value("table6_megaface", "MS1MV2, R100, ArcFace, R", "Id: rank-1 with 1M distractors") == 98.35
    assert paper_value("table7_ijb", "MS1MV2, R100, ArcFace", "IJB-C TAR at FAR 1e-4") == 0.956
    assert paper_value("table2_losses", "SphereFace (original)", "CFP-FP") is None
    assert paper_value("table2_losses", "no such row", "LFW") is None


def test_every_table_is_complete():
    numbers = [table["number"] for table in paper_tables().values()]
    assert [number for number in numbers if len(number) == 1] == list("23456789")
    for table in paper_tables().values():
        assert all(len(values) == len(table["columns"]) for values in table["rows"].values())
        assert set(table["cited"]) < set(table["rows"])
    columns = {column for table in paper_tables().values() for column in table["columns"]}
    assert set(SET_COLUMNS.values()) <= columns


def test_a_recipes_row_and_its_namesakes():
    assert paper_rows({"paper": {"table": "table2_losses", "row": "ArcFace (0.5)"}}) == [
        ("table2_losses", "ArcFace (0.5)"),
        ("table6_megaface", "CASIA, R50, ArcFace"),
    ]
    assert paper_rows({"paper": {"table": "table2_losses", "row": "ArcFace (0.4)"}}) == [
        ("table2_losses", "ArcFace (0.4)")
    ]
    row = "MS1MV2, R100, ArcFace"
    found = paper_rows({"paper": {"table": "table5_calfw_cplfw", "row": row}})
    assert found[0] == ("table5_calfw_cplfw", row)
    others = [
        ("table4_lfw_ytf", row),
        ("table6_megaface", row),
        ("table7_ijb", row),
        ("table8_trillion_pairs", "MS1MV2"),
    ]
    assert found[1:] == others
    asian = [("table8_trillion_pairs", "MS1MV2+Asian"), ("table9_iqiyi_vid", "MS1MV2+Asian, R100, ArcFace")]
    assert paper_rows({"paper": {"table": asian[0][0], "row": asian[0][1]}}) == asian


def test_training_sets_are_told_by_their_sizes():
    asian, ms1mv2 = {"identities": 179_412, "images": 8_650_000}, {"identities": 85_742, "images": 5_822_653}
    for row, data, same in [
        ("MS1MV2+Asian", asian, True),
        ("MS1MV2+Asian", ms1mv2, False),
        ("MS1MV2", ms1mv2, True),
        ("MS1MV2", asian, False),
        ("DeepGlint-Face", {"identities": 180_855, "images": 6_753_545}, True),
        ("+ MLP", asian, False),
    ]:
        assert is_papers_training_set("table8_trillion_pairs", row, data) == same


def test_a_recipe_without_a_row_in_the_paper():
    assert paper_rows({}) == paper_rows({"paper": {}}) == paper_rows({"paper": {"table": "table99", "row": "x"}}) == []


def test_a_training_set_a_third_larger_is_another_one():
    casia = {"identities": 10_572, "images": 490_623}
    key, row = "table2_losses", "ArcFace (0.5)"
    assert is_papers_training_set(key, row, casia)
    for name, factor in (("images", 1.3), ("images", 0.7), ("identities", 1.3), ("identities", 0.7)):
        assert not is_papers_training_set(key, row, {**casia, name: int(casia[name] * factor)}), (name, factor)
