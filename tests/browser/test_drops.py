"""Files are taken wherever they are dropped or pasted, and go where their kind belongs."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.support.browsing import Visit, drop_files, paste_files, result_of
from tests.support.running_service import RunningService
from tests.support.video import Clip, noise_track, write_video


def test_dropped_and_pasted_files_are_sorted_by_kind(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    drop_files(
        page,
        [("shower.wav", "audio/wav", sound.read_bytes()), ("valley.jpg", "image/jpeg", photo.read_bytes())],
        ".foot",
    )
    expect(page.locator("#picture-name")).to_have_text("valley.jpg")
    expect(page.locator(".lane .file-name")).to_have_text("shower.wav")
    result_of(page)
    paste_files(page, [("image.png", "image/png", photo.read_bytes())])
    expect(page.locator("#picture-name")).to_have_text("image.png")


def test_the_window_says_that_it_takes_what_hovers_over_it(visit: Visit) -> None:
    page = visit.page
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["x"], "a.jpg", { type: "image/jpeg" }));
            window.dispatchEvent(new DragEvent("dragenter", { dataTransfer: data }));
        }"""
    )
    expect(page.locator(".veil")).to_be_visible()
    page.evaluate("window.dispatchEvent(new DragEvent('dragleave'))")
    expect(page.locator(".veil")).to_be_hidden()


def test_an_address_is_not_fetched(visit: Visit) -> None:
    page = visit.page
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.setData("text/uri-list", "https://photos.example/a.jpg");
            document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
        }"""
    )
    expect(page.locator("#problem")).to_contain_text("Addresses are not fetched")


def test_a_dropped_video_gives_its_sound_or_opens_the_video_page(
    service: RunningService, browser: Browser, photo: Path, tmp_path: Path
) -> None:
    visit = Visit(browser, f"{service.address}/")
    page = visit.page
    clip = write_video(tmp_path / "walk.mp4", Clip(width=160, height=90, fps=10, frames=20), noise_track(2.0))
    dropped = [("walk.mp4", "video/mp4", clip.read_bytes())]
    page.set_input_files("#picture-input", photo)
    drop_files(page, dropped)
    page.get_by_role("button", name="Use its sound here").click()
    expect(page.locator(".lane .file-name")).to_have_text("walk.mp4")
    result_of(page)

    drop_files(page, dropped)
    page.get_by_role("button", name="Open it on the video page").click()
    expect(page).to_have_url(f"{service.address}/video")
    expect(page.locator("#video-name")).to_have_text("walk.mp4")
    expect(page.locator("#status")).to_contain_text("160 × 90")
    visit.close()
    assert visit.complaints == []
