"""Videos in a real browser: the page, and what the service makes."""

import re
from itertools import pairwise
from pathlib import Path

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.browsing import MACHINES, PATIENCE_MS, PHONE, USUAL_SIZE, Visit, drop_files
from tests.support.media import make_noise, write_wav
from tests.support.processes import until
from tests.support.running_service import RunningService
from tests.support.video import Clip, noise_track, write_video

_PLAY = """async (url) => {
    const video = document.createElement("video");
    video.muted = true;
    video.src = url;
    document.body.append(video);
    await new Promise((ready, failed) => {
        video.oncanplaythrough = ready;
        video.onerror = () => failed(new Error(video.error.message));
    });
    await video.play();
    await new Promise((ended) => { video.onended = ended; });
    const quality = video.getVideoPlaybackQuality();
    return {width: video.videoWidth, height: video.videoHeight, duration: video.duration,
            frames: quality.totalVideoFrames, broken: quality.corruptedVideoFrames,
            heard: video.webkitAudioDecodedByteCount};
}"""


def test_the_result_plays_to_its_end(service: RunningService, browser: Browser, tmp_path: Path) -> None:
    clip = Clip(width=320, height=180, fps=25, frames=50, rotation=-90)
    source = write_video(tmp_path / "a.mp4", clip, noise_track(2.0))
    headers = {"Prefer": "wait=60"}
    answer = httpx.post(
        f"{service.address}/stylize/video", files={"video": source.read_bytes()}, headers=headers, timeout=100
    )
    job = answer.json()
    assert job["state"] == "succeeded", job
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{service.address}/healthz")
    played = page.evaluate(_PLAY, job["results"][0]["url"])
    assert (played["width"], played["height"]) == (180, 320)  # turned upright, as its rotation says
    assert abs(played["duration"] - 2.0) < 0.05
    assert played["broken"] == 0
    assert played["frames"] >= 25
    assert played["heard"] > 0
    page.context.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "walk.mp4", Clip(width=320, height=180, fps=20, frames=80), noise_track(4.0))


def test_a_file_that_is_chosen_before_the_script_has_come_is_taken(
    service: RunningService,
    browser: Browser,
    clip: Path,
) -> None:
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    held: list[Route] = []
    page.route("**/static/video/page.js", lambda route: held.append(route))  # noqa: PLW0108  # Playwright marks the handler
    page.goto(f"{service.address}/video", wait_until="commit")
    page.set_input_files("#video-input", clip)
    while not held:
        page.wait_for_timeout(50)
    held[0].continue_()
    expect(page.locator("#status")).to_contain_text("320 × 180, 4.0 s", timeout=PATIENCE_MS)
    page.context.close()


@pytest.mark.parametrize("machine", MACHINES)
def test_a_curve_is_drawn_and_the_result_plays_beside_the_original(
    service: RunningService,
    browser: Browser,
    clip: Path,
    machine: str,
) -> None:
    visit = Visit(browser, f"{service.address}/", *MACHINES[machine])
    page = visit.page
    page.get_by_role("link", name="Video").click()
    expect(page.locator("#go")).to_be_disabled()
    page.set_input_files("#video-input", clip)
    expect(page.locator("#status")).to_contain_text("320 × 180, 4.0 s")
    page.locator("#curve .times").scroll_into_view_if_needed()
    box = page.locator("#curve .plot").bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.7 * box["height"])
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.2 * box["height"])
    times = [place for one in page.locator("#curve .times li").all() if (place := one.bounding_box())]
    assert len(times) > 2
    assert all(one["x"] + one["width"] < other["x"] for one, other in pairwise(times)), "the times lie on each other"
    points = page.locator("#curve .point")
    expect(points).to_have_count(2)
    points.last.press("ArrowUp")
    expect(points.last).to_have_attribute("aria-label", re.compile(r"Point: \+8 dB at 3\.0 s"))

    page.locator("#go").click()
    expect(page.locator("#download")).to_be_visible(timeout=PATIENCE_MS)

    job = page.request.get(page.evaluate("document.querySelector('#download').href.replace(/.results.*/, '')")).json()
    (first, second) = job["receipt"]["parameters"]["automation"]
    assert abs(first[0] - 1.0) < 0.05
    assert abs(second[0] - 3.0) < 0.05
    assert first[1] < -20 < 0 < second[1]
    expect(page.locator("#after-figure")).to_be_visible()
    page.locator("#play").click()
    until(lambda: page.evaluate("document.querySelector('#after').currentTime > 1.5") or None)
    apart = page.evaluate(
        "Math.abs(document.querySelector('#after').currentTime - document.querySelector('#before').currentTime)"
    )
    assert apart < 0.5
    points.last.focus()
    points.last.press("Delete")
    expect(points).to_have_count(1)
    assert visit.complaints == []
    visit.close()


def test_a_preview_shows_five_volumes_and_an_estimate(service: RunningService, browser: Browser, clip: Path) -> None:
    visit = Visit(browser, f"{service.address}/video")
    page = visit.page
    page.set_input_files("#video-input", clip)
    expect(page.locator("#status")).to_contain_text("4.0 s")
    page.locator("#gain").fill("6")
    page.locator("#go-preview").click()
    expect(page.locator("#sweep button")).to_have_count(5, timeout=PATIENCE_MS)
    expect(page.locator("#sweep button").nth(2)).to_have_text("+6 dB")
    expect(page.locator("#status")).to_contain_text("80 frames")
    page.locator("#sweep button").nth(1).click()  # its volume is used from now on
    expect(page.locator("#gain-value")).to_have_text("0 dB")
    expect(page.locator("#sweep [aria-pressed=true]")).to_have_text("0 dB")
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(
            "document.querySelector('#settings').scrollWidth <= document.querySelector('#settings').clientWidth"
        )
    assert visit.complaints == []
    visit.close()


def test_points_snap_and_are_made_moved_and_removed_by_keys_alone(
    service: RunningService, browser: Browser, clip: Path
) -> None:
    visit = Visit(browser, f"{service.address}/video")
    page = visit.page
    page.set_input_files("#video-input", clip)
    expect(page.locator("#status")).to_contain_text("4.0 s")
    expect(page.locator("#curve .zero")).to_have_text("0 dB")
    second_label = "0:01" if USUAL_SIZE == PHONE else "0:00.5"  # as many as there is room for
    expect(page.locator("#curve .times li").nth(1)).to_have_text(second_label)
    points = page.locator("#curve .point")
    page.locator("#add-point").focus()
    page.keyboard.press("Enter")
    expect(points).to_be_focused()
    for key in ("ArrowRight", "PageDown", "ArrowUp"):
        page.keyboard.press(key)
    expect(points).to_have_attribute("aria-label", "Point: −5 dB at 0.1 s")
    page.keyboard.press("Delete")
    expect(points).to_have_count(0)

    box = page.locator("#curve .plot").bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.503 * box["width"], box["y"] + 0.29 * box["height"])  # 2.012 s, -0.4 dB
    expect(points).to_have_attribute("aria-label", "Point: 0 dB at 2.0 s")
    page.locator("#gain").fill("24")
    page.locator("#gain").fill("-3")
    expect(points).to_have_attribute("aria-label", "Point: −3 dB at 2.0 s")  # no digits of a float
    visit.close()
    assert visit.complaints == []


def test_silent_unplayable_and_wrong_files_are_told_when_they_are_chosen(
    service: RunningService, browser: Browser, clip: Path, tmp_path: Path
) -> None:
    visit = Visit(browser, f"{service.address}/video")
    page = visit.page
    silent = write_video(tmp_path / "mute.mp4", Clip(width=160, height=90, fps=10, frames=10))
    page.set_input_files("#video-input", silent)
    expect(page.locator("#silent")).to_contain_text("No sound was found")
    page.set_input_files("#sound-input", write_wav(tmp_path / "rain.wav", make_noise(2.0)))
    expect(page.locator("#silent")).to_be_hidden()
    expect(page.locator(".lane .file-name")).to_have_text("rain.wav")
    expect(page.locator("#second-gain")).to_be_visible()

    page.set_input_files("#video-input", clip)
    expect(page.locator("#status")).to_contain_text("4.0 s")
    drop_files(page, [("notes.txt", "text/plain", b"words")])
    expect(page.locator("#problem")).to_contain_text("notes.txt")
    expect(page.locator("#video-name")).to_have_text("walk.mp4")
    broken = tmp_path / "words.bin"
    broken.write_bytes(b"no video")
    page.set_input_files("#video-input", broken)
    expect(page.locator("#problem")).to_contain_text("words.bin")
    expect(page.locator("#video-name")).to_have_text("walk.mp4")
    unplayable = write_video(tmp_path / "old.avi", Clip(width=160, height=90, fps=10, frames=10))
    page.set_input_files("#video-input", unplayable)
    expect(page.locator("#unplayable")).to_contain_text("cannot play old.avi")
    page.locator(".lane .remove").click()
    expect(page.locator("#silent")).to_contain_text("No sound was found")  # as the service says
    visit.close()
    assert [said for said in visit.complaints if "415" not in said] == []


def test_a_photo_becomes_a_video_that_follows_a_sound(
    service: RunningService, browser: Browser, photo: Path, tmp_path: Path
) -> None:
    visit = Visit(browser, f"{service.address}/video")
    page = visit.page
    page.set_input_files("#video-input", photo)
    expect(page.locator("#still")).to_be_visible()
    expect(page.locator("#silent")).to_contain_text("Add that sound")
    page.set_input_files("#sound-input", write_wav(tmp_path / "rain.wav", make_noise(2.0)))
    expect(page.locator("#silent")).to_be_hidden()
    page.locator("#go").click()
    expect(page.locator("#download")).to_be_visible()
    expect(page.locator("#screens")).to_be_visible()
    assert page.locator("#before").evaluate("video => [video.videoWidth, Math.round(video.duration)]") == [320, 2]
    expect(page.locator("#still")).to_be_hidden()
    visit.close()
    assert visit.complaints == []


_LONG_JOB = """async () => {
    const { Notice } = await import("/static/video/notice.js");
    const Own = Notification;
    globalThis.told = [];
    globalThis.Notification = class extends Own {
        constructor(words, options) {
            super(words, options);
            told.push(words, options.body);
        }
    };
    globalThis.notice = new Notice();
    notice.begin();
    notice.follow({ state: "running", progress: { done: 10, total: 100 } }, 90);
}"""
_LOOK_AWAY = "Object.defineProperty(document, 'hidden', { get: () => true })"


def test_who_asks_for_it_is_told_that_a_long_video_is_done(
    service: RunningService, browser: Browser, clip: Path
) -> None:
    visit = Visit(browser, f"{service.address}/video")
    visit.context.grant_permissions(["notifications"], origin=service.address)
    page = visit.page
    page.set_input_files("#video-input", clip)
    expect(page.locator("#status")).to_contain_text("4.0 s")
    page.evaluate(_LONG_JOB)
    expect(page).to_have_title(re.compile("^10 % · "))
    page.locator("#notify").click()
    expect(page.locator("#notify")).to_have_text("You will be told")
    page.evaluate(_LOOK_AWAY)
    page.evaluate("notice.end('The video is done')")
    assert page.evaluate("told") == ["The video is done", "walk.mp4"]
    expect(page).to_have_title(re.compile("^The video is done · "))
    visit.close()
    assert visit.complaints == []
