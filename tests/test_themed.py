"""Pages that stand alone, in two themes."""

import re
import xml.etree.ElementTree as ElementTree

import pandas as pd

from meshgym.pages.figures import COLOURS, LIGHT, draw, standalone, style
from meshgym.pages.page import Section, to_html


def paint(figure):
    axes = figure.subplots()
    axes.plot([1, 2], [3, 4], color=LIGHT["bad"], label="a < b")
    axes.legend()


def test_a_figure_takes_its_colours_from_the_page():
    svg = draw((3, 2), paint)
    assert svg == draw((3, 2), paint)
    assert f"var(--bad, {LIGHT['bad']})" in svg
    assert "var(--ink" in svg
    bare = re.sub(r"var\(--\w+, #\w+\)", "", svg)
    assert not [light for light in LIGHT.values() if light in bare]
    assert "a &lt; b" in svg  # text stays text
    root = ElementTree.fromstring(standalone(svg))
    assert "prefers-color-scheme: dark" in root[0].text


def test_colours_of_both_themes_stand_out_from_their_paper():
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for theme in range(2):
        paper = luminance(COLOURS["paper"][theme])
        for name in ("ink", "soft", "accent", "good", "bad", "warm", "deep"):
            dark, light = sorted([paper, luminance(COLOURS[name][theme])])
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, theme)


def test_a_page_escapes_what_it_shows_and_loads_nothing():
    blocks = [
        ("a table", pd.DataFrame({"a": ["<b>"]})),
        ("a list", {"k": "<i>"}),
        ("text", "kubectl <x>"),
        ("a figure", draw((3, 2), paint)),
    ]
    page = to_html("<title>", [Section("one & two", ["a < b"], blocks)], lead="so")
    for escaped in ("&lt;title&gt;", "one &amp; two", "a &lt; b", "&lt;b&gt;", "&lt;i&gt;", "kubectl &lt;x&gt;"):
        assert escaped in page
    assert page.count("<svg") == 1
    assert style() in page
    assert not re.findall(r"(?:src|href)=\"?https?:", page)
    assert "<script" not in page
