"""The report and the tables in a browser, as wide as a desktop and as a phone: all loads, is seen, and fits."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import escape, unescape

import pytest

from arcface_gluon.report.run_report import write_report
from arcface_gluon.report.tables import write_tables

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None and os.environ.get("REQUIRE_CHROMIUM") != "1", reason="no Chromium on this machine"
    ),
]

# Shows the page in a frame of a given width, since windows cannot be as narrow as phones, and writes what is seen.
FRAME = """<!DOCTYPE html><iframe id="frame" style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe>
<pre id="seen"></pre><script>
document.getElementById("frame").onload = event => {{
  const seen = event.target.contentDocument, root = seen.documentElement;
  const boxes = selector => [...seen.querySelectorAll(selector)].map(node => node.getBoundingClientRect());
  document.getElementById("seen").textContent = JSON.stringify({{
    title: seen.title,
    overflow: root.scrollWidth - root.clientWidth,
    crowded: [...seen.querySelectorAll("th, td")].filter(cell => cell.scrollWidth > cell.clientWidth).length,
    figures: boxes("svg").map(box => [box.width, box.height]),
    drawn: [...seen.querySelectorAll("svg")].map(svg => svg.querySelectorAll("path, use, text").length),
    text: Math.min(...boxes("svg text").map(box => box.height)),
    tables: [...seen.querySelectorAll("table")].map(table => table.rows.length),
    pictures: [...seen.querySelectorAll("img")].map(image => image.complete ? image.naturalWidth : 0),
  }});
}};
</script>"""


def browse(page, width, tmp_path):
    """What a browser sees of the page, and the lines of its console."""
    (tmp_path / "frame.html").write_text(FRAME.format(width=width, page=escape(page)), encoding="utf-8")
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *("--disable-sync", "--disable-component-update", "--enable-logging=stderr", "--virtual-time-budget=5000"),
    ]
    command = [BROWSER, *options, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1300,1000", "--dump-dom"]
    done = subprocess.run(
        [*command, (tmp_path / "frame.html").as_uri()], capture_output=True, encoding="utf-8", timeout=120
    )
    seen = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert seen and seen.group(1), done.stderr[-2000:]
    return json.loads(unescape(seen.group(1))), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("width", [1200, 390])
def test_the_report_is_shown_whole(run_dir, tmp_path, width):
    assert BROWSER, "REQUIRE_CHROMIUM=1, but there is no Chromium"
    seen, console = browse(write_report(run_dir).read_text(encoding="utf-8"), width, tmp_path)
    assert console == []
    assert seen["title"] == "casia_r50: arcface-gluon run"
    assert seen["overflow"] == 0, "the page is wider than the screen"
    assert seen["crowded"] == 0, "text runs out of cells of a table"
    assert len(seen["figures"]) == 5 and min(seen["drawn"]) > 20
    assert all(width / 3 < w <= width and h > 150 for w, h in seen["figures"])
    assert seen["text"] >= 9, "text of a figure is too small to read"
    assert len(seen["pictures"]) == 64 and set(seen["pictures"]) == {112}


@pytest.mark.parametrize("width", [1200, 390])
def test_the_tables_are_shown_whole(run_dir, tmp_path, width):
    assert BROWSER, "REQUIRE_CHROMIUM=1, but there is no Chromium"
    write_tables(run_dir.parent, tmp_path)
    seen, console = browse((tmp_path / "tables.html").read_text(encoding="utf-8"), width, tmp_path)
    assert console == []
    assert seen["title"] == "ArcFace: the paper's tables"
    assert seen["overflow"] == 0 and seen["crowded"] == 0
    assert len(seen["tables"]) == 11 and min(seen["tables"]) > 3, "Tables 1 to 9, the journal's, and what is missing"


def test_faults_of_a_page_are_seen(tmp_path):
    """Else the test above could not fail."""
    assert BROWSER, "REQUIRE_CHROMIUM=1, but there is no Chromium"
    narrow = '<table><th style="max-width:3em;white-space:nowrap">a head that is too long</th></table>'
    page = f'<div style="width:500px">wide</div>{narrow}<img src="missing.png"><script>console.error("fault")</script>'
    seen, console = browse(page, 390, tmp_path)
    assert seen["crowded"] == 1 and seen["overflow"] > 0 and seen["pictures"] == [0]
    assert any("fault" in line for line in console)
