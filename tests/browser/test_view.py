"""Looking closely: the divider, zoom and pan, both sides."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import Visit, choose, on_both, result_of, wait_until_true
from tests.support.media import make_photo, write_jpeg
from tests.support.running_service import RunningService


def middle(page: Page) -> tuple[float, float]:
    box = page.locator("#compare").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def places(page: Page) -> tuple[dict[str, float], dict[str, float]]:
    """Where the photo and the result are on the screen."""
    both = [page.locator(f"#compare {layer}").bounding_box() for layer in (".before", ".after")]
    assert both[0]
    assert both[1]
    return dict(both[0]), dict(both[1])  # type: ignore[arg-type]


def test_the_divider_moves_by_pointer_and_by_key(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    result_of(page)
    divider = page.locator("#compare .divider")
    expect(divider).to_have_attribute("aria-valuenow", "50")

    divider.press("ArrowRight")
    expect(divider).to_have_attribute("aria-valuenow", "52")

    box = page.locator("#compare").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "25")


def test_wheel_buttons_and_keys_zoom_photo_and_result_alike(visit: Visit, tmp_path: Path, sound: Path) -> None:
    page = visit.page
    choose(page, write_jpeg(tmp_path / "large.jpg", make_photo(1600, 1000)), sound)
    result_of(page)
    fitted = page.locator("#zoom").inner_text()
    x, y = middle(page)
    page.mouse.move(x + 100, y)
    page.mouse.wheel(0, -300)
    expect(page.locator("#zoom")).not_to_have_text(fitted)
    expect(page.locator("#compare")).to_have_class("viewer comparing zoomed")
    before, after = places(page)
    assert before == after

    page.mouse.move(x + 100, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 10)
    page.mouse.up()
    moved, _ = places(page)
    assert moved["x"] == pytest.approx(before["x"] - 40, abs=1)

    page.locator("#zoom-actual").click()
    expect(page.locator("#zoom")).to_have_text("100 %")
    assert places(page)[0]["width"] == pytest.approx(1600, abs=1)
    page.locator("#compare").press("ArrowRight")
    page.locator("#compare").press("0")
    expect(page.locator("#zoom")).to_have_text(fitted)
    expect(page.locator("#zoom-fit")).to_have_attribute("aria-pressed", "true")
    page.locator("#zoom-in").click()
    expect(page.locator("#zoom")).not_to_have_text(fitted)


def test_a_whole_photo_lets_the_page_scroll(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    result_of(page)
    fitted = page.locator("#zoom").inner_text()
    page.mouse.move(*middle(page))
    page.mouse.wheel(0, 200)
    wait_until_true(page, "scrollY > 0")
    expect(page.locator("#zoom")).to_have_text(fitted)


@on_both
def test_both_sides_show_the_same_part(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    result_of(page)
    page.locator("#view-side").click()
    expect(page.locator("#compare .divider")).to_be_hidden()
    before, after = places(page)
    width = page.locator("#compare").evaluate("frame => frame.clientWidth")
    assert after["x"] - before["x"] == pytest.approx(width / 2, abs=3)
    assert (before["y"], before["width"]) == (after["y"], after["width"])
    page.locator("#zoom-in").click()
    left, right = places(page)
    assert right["x"] - left["x"] == pytest.approx(after["x"] - before["x"], abs=1)
    page.locator("#view-slider").click()
    expect(page.locator("#compare .divider")).to_be_visible()


def test_two_fingers_zoom(service: RunningService, browser: Browser, photo: Path, sound: Path) -> None:
    visit = Visit(browser, f"{service.address}/", (390, 844))
    page = visit.page
    choose(page, photo, sound)
    result_of(page)
    fitted = page.locator("#zoom").inner_text()
    x, y = middle(page)
    touch = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 120), ("touchEnd", None)):
        points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(page.locator("#zoom")).not_to_have_text(fitted)
    visit.close()
    assert visit.complaints == []
