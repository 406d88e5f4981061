"""Names from outside are shown letter by letter in figures, Markdown and HTML, whatever they hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.report.figures import run as figures
from arcface_gluon.report.figures.angles import pair_angles_panels
from arcface_gluon.report.html import element
from arcface_gluon.report.outside_text import figure_label, markdown_text
from arcface_gluon.report.tables import markdown_table

NAMES = [
    "a$b",
    "$x^$",
    "$\\frac{",
    "\\$",
    "a|b",
    "<b>`x`</b>",
    "_hidden",
    "two\nlines",
    "[a](b)",
    "x" * 1000,
    "王 \u3000",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_shows_any_name(name):
    rows = [{"iteration": 1, "accuracy": 0.5, "verification": {name: {"accuracy": 0.5}}}]
    markup = figures.svg_markup(figures.accuracy_curves(rows), "n", "d")
    curves = {name: (np.array([0.0, 0.5, 1.0]), np.array([0.1, 0.6, 1.0]), 100)}
    figures.svg_markup(figures.roc_figure(curves), "n", "d")
    figures.svg_markup(pair_angles_panels({name: ([30.0], [80.0])}), "n", "d")
    if name == "a$b":
        assert ">a$b<" in markup
    if name == "_hidden":
        assert "_hidden<" in markup
    assert "<b>" not in markup


@pytest.mark.parametrize("name", NAMES)
def test_a_markdown_table_keeps_its_columns(name):
    lines = markdown_table(["set", "n"], [[name, 1]])
    assert len(lines) == 3 and all("\n" not in line for line in lines)
    assert lines[2].replace("\\|", "").count("|") == 3


def test_markdown_marks_are_letters():
    assert markdown_text("a|b`c`<d>$e$ *f* [g]") == r"a\|b\`c\`\<d\>\$e\$ \*f\* \[g\]"
    assert markdown_text("agedb_30 _x_") == r"agedb_30 \_x\_"


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=30))
def test_labels_are_one_line_without_mathematics(text):
    label = figure_label(text)
    assert "\n" not in label and not label.startswith("_")
    assert label.count("$") == label.count("\\$")
    assert "<" not in element("p", text).replace("<p>", "").replace("</p>", "")
