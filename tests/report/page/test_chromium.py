"""The page in a real browser."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from helpers.browser import CHROMIUM, Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.chromium,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
WIDE, PHONE = 1400, 390


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def shot(browser):
    data = np.frombuffer(browser.screenshot(), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def blocks(browser):
    """Where sections and their contents lie: the page's structure."""
    return browser.js(
        "[...document.querySelectorAll('h1, h2, h3, figure, table, dl')].map((one) => {"
        "const box = one.getBoundingClientRect(); return [one.tagName, Math.round(box.left),"
        "Math.round(box.top + scrollY), Math.round(box.width), Math.round(box.height)]})"
    )


def walk(browser):
    """Brings every clip into view, so that it loads and plays."""
    browser.js(
        "(async () => { for (const one of document.querySelectorAll('video')) {"
        "one.scrollIntoView({block: 'center'});"
        "await new Promise((go) => setTimeout(go, 120)) } })()"
    )


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_it_loads_without_complaint_and_fits_the_window(browser, page, width):
    browser.complaints.clear()
    browser.view(width)
    browser.open(page)
    walk(browser)
    assert browser.js("document.documentElement.scrollWidth") <= width
    wide = browser.js(
        "[...document.querySelectorAll('body *')].filter((one) => !one.closest('.scrolling, nav ol,"
        " .hush, .skip, details:not([open]), svg')"
        " && one.getBoundingClientRect().right > innerWidth + 1)"
        ".map((one) => one.outerHTML.slice(0, 90))"
    )
    assert wide == []
    assert browser.complaints == []


def test_clips_play_when_they_are_in_view_and_stop_on_demand(browser, page):
    browser.view(WIDE)
    browser.open(page)
    walk(browser)
    ready = "[...document.querySelectorAll('video')].every((one) => one.readyState >= 2)"
    assert browser.until(ready)
    playing = "[...document.querySelectorAll('video')].filter((one) => !one.paused).length"
    moves = "[...document.querySelectorAll('video')].some((one) => !one.paused && one.currentTime)"
    assert browser.until(moves)
    assert browser.js(playing) < browser.js("document.querySelectorAll('video').length")
    browser.js("document.querySelector('button.all').click()")
    assert browser.until(f"{playing} === 0")
    assert browser.js("document.querySelector('button.all').textContent") == "Play all clips"


def test_a_clip_is_played_and_moved_by_keyboard(browser, page):
    browser.view(WIDE, calm=True)
    browser.open(page)
    browser.js("document.querySelector('.play').focus()")
    browser.js("document.querySelector('video').scrollIntoView()")
    browser.press("Enter")
    assert browser.until("!document.querySelector('video').paused")
    label = "document.querySelector('.play').getAttribute('aria-label')"
    assert browser.until(f"{label}.startsWith('Pause: ')")
    browser.press("Enter")
    assert browser.until("document.querySelector('video').paused")
    browser.press("Tab")
    assert browser.js("document.activeElement.className") == "seek"
    browser.js("document.querySelector('.seek').value = 0")
    for _ in range(3):
        browser.press("ArrowRight")
    assert browser.until("document.querySelector('video').currentTime > 0")


def test_a_clip_started_by_hand_plays_on_while_it_is_in_view(browser, page):
    """Also when it comes into view a moment later, as the reader scrolls."""
    browser.view(WIDE, calm=True)
    browser.open(page)
    video = "document.querySelector('video')"
    browser.js(f"{video}.scrollIntoView({{block: 'center'}})")
    browser.js("new Promise((go) => setTimeout(go, 300))")
    browser.js("document.querySelector('.play').click()")
    assert browser.until(f"!{video}.paused && {video}.currentTime > 0")
    # Less than the share that counts as in view, then more again.
    browser.js(f"scrollTo(0, {video}.getBoundingClientRect().bottom + scrollY - 20)")
    assert browser.until(f"{video}.paused")
    browser.js(f"{video}.play().then(() => {video}.scrollIntoView({{block: 'center'}}))")
    browser.js("new Promise((go) => setTimeout(go, 500))")
    assert not browser.js(f"{video}.paused")


def test_nothing_plays_by_itself_for_those_who_want_calm(browser, page):
    browser.view(WIDE, calm=True)
    browser.open(page)
    walk(browser)
    videos = "[...document.querySelectorAll('video')]"
    assert browser.js(f"{videos}.every((one) => one.paused && !one.currentTime)")
    assert browser.js(f"{videos}.every((one) => one.poster)")


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_light_and_dark_are_the_same_page_in_other_colours(browser, page, width):
    found = {}
    for dark in (False, True):
        browser.view(width, dark=dark, calm=True)
        browser.open(page)
        found[dark] = (blocks(browser), shot(browser))
    assert found[False][0] == found[True][0]
    light_HW3, dark_HW3 = found[False][1], found[True][1]
    assert light_HW3.shape == dark_HW3.shape
    assert np.median(light_HW3) > 240
    assert np.median(dark_HW3) < 40
    # Text and drawings stand out from the ground at the same places.
    edges = []
    for picture_HW3 in (light_HW3, dark_HW3):
        edge_HW = cv2.Canny(picture_HW3, 60, 160)
        small_HW = cv2.resize(edge_HW, None, fx=0.05, fy=0.05, interpolation=cv2.INTER_AREA)
        edges.append(small_HW > 8)
    both, either = (edges[0] & edges[1]).sum(), (edges[0] | edges[1]).sum()
    assert both / either > 0.8


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_can_be_read(browser, page, dark):
    """Contrast of at least 4.5 (WCAG 2.1 AA) between each text and its ground."""
    browser.view(WIDE, dark=dark, calm=True)
    browser.open(page)
    poor = browser.js(
        """(() => {
        const context = document.createElement("canvas").getContext("2d",
            { willReadFrequently: true });
        const paint = (colour) => { context.clearRect(0, 0, 1, 1); context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1); return [...context.getImageData(0, 0, 1, 1).data]; };
        const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045
            ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, k) => sum
            + v * [0.2126, 0.7152, 0.0722][k], 0);
        const ground = (one) => { for (; one; one = one.parentElement) {
            const found = paint(getComputedStyle(one).backgroundColor);
            if (found[3]) return found; } return [255, 255, 255]; };
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const poor = [];
        while (walker.nextNode()) {
            const one = walker.currentNode.parentElement;
            if (!walker.currentNode.data.trim() || one.closest("script, style, .skip")) continue;
            const style = getComputedStyle(one);
            const colour = paint(one.closest("svg") ? style.fill : style.color);
            const [a, b] = [light(colour), light(ground(one))].sort((x, y) => y - x);
            if ((a + 0.05) / (b + 0.05) < 4.5)
                poor.push([walker.currentNode.data.trim().slice(0, 30), one.className]);
        }
        return poor; })()"""
    )
    assert poor == []


def test_links_lead_to_sections(browser, page):
    browser.view(WIDE, calm=True)
    browser.open(page)
    places = browser.js(
        "[...document.querySelectorAll('nav a')].map((link) => { link.click();"
        "return [location.hash, Boolean(document.querySelector(location.hash))] })"
    )
    assert len({place for place, _ in places}) == len(places) == 5
    assert all(there for _, there in places)


def test_on_paper(browser, page):
    browser.view(WIDE)
    browser.open(page)
    browser.view(WIDE, dark=True, media="print")
    assert browser.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.js("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.pdf().startswith(b"%PDF")
