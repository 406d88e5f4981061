"""Pages escape what they are given and need nothing beside themselves."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from arcface_gluon.report.html import Markup, element, join, page, picture, table


def test_text_and_attributes_are_escaped_and_markup_is_not():
    made = element("p", "<b> & ", Markup("<i>x</i>"), None, 3, title='"<', class_="a", aria_label="b")
    assert made == '<p title="&quot;&lt;" class="a" aria-label="b">&lt;b&gt; &amp; <i>x</i>3</p>'
    assert join("<", element("b", "<")) == "&lt;<b>&lt;</b>"


def test_table_cells_are_escaped_and_rows_have_heads():
    made = table(["name", "value"], [["<a>", 1.5]], caption="<caption>")
    assert "&lt;a&gt;" in made and "<a>" not in made and "<caption>" not in made
    assert '<th scope="row" class="text">&lt;a&gt;</th><td class="number">1.5</td>' in made


@pytest.mark.parametrize("start, kind", [(b"\xff\xd8\xff\xe0", "image/jpeg"), (b"\x89PNG\r\n", "image/png")])
def test_pictures_are_data_uris(start, kind):
    assert picture(start, "a <face>").startswith(f'<img src="data:{kind};base64,')
    assert 'alt="a &lt;face&gt;"' in picture(start, "a <face>")


def test_a_picture_of_another_format_is_described():
    assert picture(b"P5 112 112", "pair 3, image 1") == (
        '<span class="noimage">pair 3, image 1: no preview of its format</span>'
    )


def test_a_page_is_well_formed_and_asks_for_nothing():
    class Check(HTMLParser):
        open_tags, links = [], []

        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "link", "img"):
                self.open_tags.append(tag)
            self.links += [value for name, value in attributes if name in ("src", "href")]

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    made = page("a <title>", element("p", "text"))
    check = Check()
    check.feed(made)
    assert check.open_tags == [] and check.links == ["data:,"]
    assert "<title>a &lt;title&gt;</title>" in made and "<script" not in made and "@import" not in made
