"""The paper's numbers as shipped."""

from __future__ import annotations

from arcface_gluon.report.paper import SET_COLUMNS, paper_rows, paper_tables, paper_value


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
        ("table2_losses", "ArcFace (0.5)")
    ]
    row = "MS1MV2, R100, ArcFace"
    found = paper_rows({"paper": {"table": "table5_calfw_cplfw", "row": row}})
    assert [key for key, _ in found] == ["table5_calfw_cplfw", "table4_lfw_ytf", "table6_megaface", "table7_ijb"]
    assert {name for _, name in found} == {row}


def test_a_recipe_without_a_row_in_the_paper():
    assert paper_rows({}) == paper_rows({"paper": {}}) == paper_rows({"paper": {"table": "table99", "row": "x"}}) == []
