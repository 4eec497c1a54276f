"""The page of `bench report` in a real browser: Debian's Chromium, driven by Selenium, with no way out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from chromium import NASTY, check_accessibility, requests_of_opening, show
from report_store import everything, fill, grid, make_record

from analysis.report import render
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A page with every section, stand-ins beside real data, and a name that tries to run."""
    folder = tmp_path_factory.mktemp("page")
    records = [
        *everything(),
        *grid(["tune_plus", "mfcc"], ["gtzan"], [0, 1], data="stand-in"),
        make_record(NASTY, "gtzan", 0, score=0.2),
    ]
    file = folder / "report.html"
    file.write_text(render(collect(fill(folder / "store", records), load_registry())), encoding="utf-8")
    return file


def rows(browser, table: str, column: int) -> list[str]:
    script = """return [...document.querySelectorAll(arguments[0] + ' tbody tr')].filter(r => r.offsetParent)
        .map(r => r.cells[arguments[1]].dataset.value ?? r.cells[arguments[1]].textContent.trim())"""
    return browser.execute_script(script, table, column)


def open_all(browser) -> None:
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")


def test_it_opens_without_errors_and_asks_nobody_for_anything(browser, page):
    asked = requests_of_opening(browser, page)
    assert asked <= {page.as_uri(), "data:,"}


def test_names_with_markup_are_shown_and_never_run(browser, page):
    show(browser, page)
    assert browser.title == "Music representations compared – bench report"
    assert NASTY in browser.execute_script("return document.querySelector('#leaderboards').textContent")
    assert browser.execute_script("return document.images.length") == 0


def test_columns_sort_by_number_and_by_name_and_the_floor_stays_last(browser, page):
    show(browser, page)
    table = "#leaderboards article[data-task='key'] table.sortable"
    open_all(browser)
    names = [row.split(" ·")[0] for row in rows(browser, table, 0)]
    heads = browser.find_elements("css selector", f"{table} thead button")
    browser.execute_script("arguments[0].click()", heads[1])
    falling = [float(value) for value in rows(browser, table, 1)]
    assert falling[:-1] == sorted(falling[:-1], reverse=True)
    browser.execute_script("arguments[0].click()", heads[1])
    rising = [float(value) for value in rows(browser, table, 1)]
    assert rising[:-1] == falling[-2::-1]
    assert rows(browser, table, 0)[-1] == "constant prediction" == names[-1]
    for _ in range(2):
        browser.execute_script("arguments[0].click()", heads[0])
    sorted_names = rows(browser, table, 0)[:-1]
    assert sorted_names == sorted(sorted_names)
    head = browser.find_element("css selector", f"{table} thead th")
    assert head.get_attribute("aria-sort") == "ascending"


def test_heads_can_be_reached_and_pressed_by_keyboard(browser, page):
    from selenium.webdriver.common.keys import Keys

    show(browser, page)
    open_all(browser)
    table = "#leaderboards article[data-task='key'] table.sortable"
    button = browser.find_element("css selector", f"{table} thead th:nth-child(2) button")
    browser.execute_script("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER, Keys.ENTER)
    values = [float(value) for value in rows(browser, table, 1)][:-1]
    assert values == sorted(values)


def test_the_filter_keeps_matching_rows_and_tasks(browser, page):
    show(browser, page)
    script = """return [...document.querySelectorAll('#leaderboards article')].filter(a => a.offsetParent)
        .map(a => [a.dataset.task,
                   [...a.querySelectorAll('.board tbody tr:not(.floor)')].filter(r => r.offsetParent).length])"""
    everything_shown = browser.execute_script(script)
    field = browser.find_element("id", "filter")
    field.send_keys("MFCC emotion")
    assert browser.execute_script(script) == [["emotion", 1]]
    assert browser.find_element("id", "filtered").text == "1 rows shown"
    field.clear()
    field.send_keys("no such thing")
    assert browser.execute_script(script) == []
    browser.execute_script("arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input'))", field)
    assert browser.execute_script(script) == everything_shown


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [375, 1000])
def test_it_meets_wcag_aa_and_does_not_scroll_sideways(browser, page, width, dark):
    check_accessibility(browser, page, width, dark)


def test_the_first_screen_has_the_answer(browser, page):
    for width, height in ((375, 2000), (1280, 900)):
        show(browser, page, width)
        bottom = "return document.querySelector(arguments[0]).getBoundingClientRect().bottom"
        parts = [".headline", ".banner", "#heatmap table", ".provenance", "nav"]
        places = [browser.execute_script(bottom, part) for part in parts]
        assert places == sorted(places)
        assert places[2] < height
    cell = browser.find_element("css selector", "#heatmap tbody td[title]")
    assert cell.text in cell.get_attribute("title")
    assert "[" in cell.get_attribute("title")


def test_on_a_telephone_scores_stand_beside_names(browser, page):
    show(browser, page, 375)
    wide = browser.execute_script(
        "return [...document.querySelectorAll('.board')].map(b => [b.scrollWidth, b.parentElement.clientWidth,"
        " Math.max(...[...b.querySelectorAll('td.n')].map(c => c.getBoundingClientRect().right)),"
        " Math.max(...[...b.querySelectorAll('td.n span')].map(c => parseFloat(getComputedStyle(c).fontSize)))])"
    )
    assert len(wide) >= 4
    for table, article, right, size in wide:
        assert table <= article + 1 and article <= 375  # widths are rounded
        assert right < 375
        assert size > 12


def test_a_figure_is_saved_from_the_page(browser, page, tmp_path):
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    show(browser, page)
    open_all(browser)
    for button in ("button[data-name='heat-map-real-data.svg']", "a[download='heat-map-real-data.pdf']"):
        browser.execute_script("arguments[0].click()", browser.find_element("css selector", button))
    for _ in range(100):
        if {path.name for path in tmp_path.iterdir()} == {"heat-map-real-data.svg", "heat-map-real-data.pdf"}:
            break
        time.sleep(0.1)
    assert (tmp_path / "heat-map-real-data.svg").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "heat-map-real-data.pdf").read_bytes().startswith(b"%PDF")


def test_figures_and_text_are_large_enough_to_read_at_375_pixels(browser, page):
    show(browser, page, 375)
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('figure svg text')].filter(t => t.textContent.trim())"
        ".map(t => parseFloat(getComputedStyle(t).fontSize) * Math.hypot(t.getScreenCTM().a, t.getScreenCTM().b))"
    )
    assert len(sizes) > 100
    assert min(sizes) > 6.5
    body = browser.execute_script("return parseFloat(getComputedStyle(document.body).fontSize)")
    assert body == 16


def test_on_paper_nothing_is_cut_off_or_dark(browser, page):
    show(browser, page, 760, dark=True, media="print")
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    assert browser.execute_script(style, "body", "backgroundColor") in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    assert browser.execute_script(style, "body", "color") == "rgb(0, 0, 0)"
    assert browser.execute_script(style, "nav", "display") == "none"
    assert browser.execute_script(style, ".scroll", "overflow") == "visible"
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "paperWidth": 8.27, "paperHeight": 11.7})
    assert len(pdf["data"]) > 50_000


def test_it_is_whole_without_scripts_and_small_with_twenty_encoders(browser, tmp_path):
    names = [f"encoder_{number}" for number in range(20)]
    records = grid(names, ["mtt", "mtt-tagged", "gtzan", "emotion", "key", "fma-small"], range(3))
    text = render(collect(fill(tmp_path / "store", records), load_registry()))
    assert len(text.encode()) < 3e6
    file = tmp_path / "report.html"
    file.write_text(text.replace("<script>", "<script type='text/plain'>"), encoding="utf-8")
    show(browser, file)
    articles = browser.find_elements("css selector", "#leaderboards article")
    assert len(articles) == 6
    for table in (".board", ".sortable"):
        assert all(len(article.find_elements("css selector", f"{table} tbody tr")) == 21 for article in articles)
