"""The dials: while they move the result is blended from small ones in the browser; at rest it is made whole."""

from pathlib import Path

import numpy as np
from playwright.sync_api import Page, expect

from tests.support.browsing import Visit, choose, next_result, on_both, pixels_of, result_of, set_dial, wait_until_live
from tests.support.media import make_noise, make_tone, write_wav

# Moves the dial once a frame and counts what was drawn between the frames' stamps.
DRAG = """async ([selector, values]) => {
    const dial = document.querySelector(selector);
    const canvas = document.querySelector("#compare .blend");
    const frame = () => new Promise(requestAnimationFrame);
    const before = Number(canvas.dataset.frames ?? 0);
    const heard = new Set();
    const began = await frame();
    let now = began;
    for (const value of values) {
        dial.value = value;
        dial.dispatchEvent(new Event("input", { bubbles: true }));
        now = await frame();
        heard.add(document.querySelector("#heard meter").value);
    }
    await frame();
    return { drawn: Number(canvas.dataset.frames) - before, milliseconds: now - began, heard: heard.size };
}"""


def drag(page: Page, selector: str, values: list[float]) -> dict[str, float]:
    measured: dict[str, float] = page.evaluate(DRAG, [selector, values])
    return measured


@on_both
def test_while_the_volume_moves_each_frame_is_drawn_and_nothing_is_requested(
    visit: Visit, photo: Path, sound: Path
) -> None:
    page = visit.page
    choose(page, photo, sound)
    first = result_of(page)
    wait_until_live(page)
    before = len(visit.requests)
    values = [float(value) for value in np.linspace(-55, 20, 60)]

    measured = drag(page, "#gain", values)

    assert len(visit.requests) == before
    assert measured["drawn"] == len(values)  # a picture for each frame of the screen
    assert measured["heard"] > 30  # what it heard has followed
    expect(page.locator("#compare .tag-after")).to_have_text("Preview")
    page.locator("#gain").dispatch_event("change")
    next_result(page, first)
    expect(page.locator("#compare .tag-after")).to_have_text("After")


def test_the_blend_is_near_what_the_service_makes(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    before = result_of(page)
    whole = np.array(pixels_of(page))
    wait_until_live(page)
    for gain, strength in ((-24, 1.0), (-6, 0.5)):
        page.locator("#strength").fill(str(strength))
        page.locator("#gain").fill(str(gain))
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        blended = np.array(pixels_of(page, "#compare .blend"))
        page.locator("#gain").dispatch_event("change")
        before = next_result(page, before)
        made = np.array(pixels_of(page))
        assert np.abs(blended - made).mean() < 3, (gain, strength)
        assert np.abs(blended - whole).mean() > 6, (gain, strength)


def test_the_shares_of_a_mix_are_live_too(visit: Visit, photo: Path, tmp_path: Path) -> None:
    page = visit.page
    choose(
        page,
        photo,
        write_wav(tmp_path / "a.wav", make_noise(3.0, rms=0.2)),
        write_wav(tmp_path / "b.wav", make_tone(3.0)),
    )
    first = result_of(page)
    share = ".lane:nth-child(1) .weight input"
    page.locator(share).fill("30")
    next_result(page, first)
    wait_until_live(page, share)
    before = len(visit.requests)

    measured = drag(page, share, [float(value) for value in range(0, 101, 5)])

    assert measured["drawn"] == 21
    assert len(visit.requests) == before


def test_until_the_dials_are_live_a_result_of_other_settings_is_marked(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    visit.hold("**/results/4?*")  # the small results do not come
    first = result_of(page)
    page.locator("#gain").fill("-20")
    expect(page.locator("#compare .tag-after")).to_have_text("Old settings")
    set_dial(page, "#gain", -20)
    next_result(page, first)
    expect(page.locator("#compare .tag-after")).to_have_text("After")
