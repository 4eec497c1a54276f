"""The page of `bench look` in a real browser: Debian's Chromium, driven by Selenium, with no way out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from chromium import NASTY, check_accessibility, requests_of_opening, show
from look_document import make_document

from analysis.visualisation import render


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A page with every section, audio, and a name that tries to run."""
    file = tmp_path_factory.mktemp("page") / "look.html"
    file.write_text(render(make_document(audio=True, name=NASTY)), encoding="utf-8")
    return file


def test_it_opens_without_errors_asks_nobody_and_runs_no_name(browser, page):
    asked = requests_of_opening(browser, page)
    assert all(url == page.as_uri() or url.startswith("data:") for url in asked)
    assert browser.title == f"{NASTY}, looked at – bench look"
    assert browser.execute_script("return document.images.length") == 0


def test_the_select_box_shows_one_feature_at_a_time(browser, page):
    show(browser, page)
    shown = """return [...document.querySelectorAll('#listen article')].filter(a => a.offsetParent)
        .map(a => a.dataset.feature)"""
    assert browser.execute_script(shown) == ["3"]
    box = browser.find_element("id", "feature")
    assert [option.get_attribute("value") for option in box.find_elements("tag name", "option")] == ["3", "11"]
    assert box.is_displayed()
    box.send_keys("11")
    assert browser.execute_script(shown) == ["11"]
    first = browser.find_element("css selector", "#listen article[data-feature='11'] tbody th")
    assert first.text.startswith("mtt/11/0 <img")


def test_excerpts_play(browser, page):
    show(browser, page)
    found = browser.execute_async_script(
        """const done = arguments[0], player = document.querySelector('audio');
        player.addEventListener('error', () => done(player.error.message));
        player.addEventListener('timeupdate', () =>
            { if (player.currentTime > 0) done([player.duration, player.paused]) });
        player.muted = true; player.play();"""
    )
    assert found[0] == pytest.approx(3.0, abs=0.15)
    assert found[1] is False
    labels = browser.execute_script("return [...document.querySelectorAll('audio')].map(a => a.ariaLabel)")
    assert len(labels) == 12
    assert all(label.endswith("2.0 to 5.0 s") for label in labels)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [375, 1000])
def test_it_meets_wcag_aa_and_does_not_scroll_sideways(browser, page, width, dark):
    check_accessibility(browser, page, width, dark)


def test_every_figure_has_a_text_and_headings_go_down_by_one(browser, page):
    show(browser, page)
    told = browser.execute_script(
        "return [...document.querySelectorAll('figure svg')].map(s => [s.querySelector('title').textContent,"
        " s.querySelector('desc').textContent.length, s.getAttribute('aria-labelledby')])"
    )
    assert len(told) == 13
    assert all(title and length > 40 for title, length, _ in told)
    assert len({ids for _, _, ids in told}) == 13
    assert browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id).length") == len(
        set(browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)"))
    )
    levels = browser.execute_script("return [...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_on_paper_nothing_is_cut_off_or_dark(browser, page):
    show(browser, page, 760, dark=True, media="print")
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    assert browser.execute_script(style, "body", "color") == "rgb(0, 0, 0)"
    assert browser.execute_script(style, "nav", "display") == "none"
    assert browser.execute_script(style, "audio", "display") == "none"
    assert browser.execute_script(style, ".scroll", "overflow") == "visible"


def test_it_is_whole_without_scripts(browser, tmp_path):
    file = tmp_path / "look.html"
    file.write_text(render(make_document()).replace("<script>", "<script type='text/plain'>"), encoding="utf-8")
    show(browser, file)
    articles = browser.find_elements("css selector", "#listen article")
    assert [article.is_displayed() for article in articles] == [True, True]
    assert not browser.find_element("id", "feature").is_displayed()
