"""Makes the pictures of the web page: `make pictures`, after a change of the page, the model or the examples.

service/api/static/gallery: what the built-in sounds do to the built-in lake, as the photo page shows it.
docs/page-*.jpg: the pages themselves, at the size of a desk and of a telephone, light and dark.
"""

import io
import re
import tempfile
from pathlib import Path

import httpx2
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import PATIENCE_MS, Visit, launched_browser, result_of, wait_until_live
from tests.support.running_service import ROOT, running_service
from tests.support.video import Clip, noise_track, write_video

STATIC = ROOT / "service" / "api" / "static"
GALLERY_SIZE = (240, 160)
SIZES = {"desk": (1440, 900), "phone": (390, 844)}


def main() -> None:
    """Start the service with the shipped model, make everything, and stop it again."""
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder) / "data", ROOT / "models") as service:
        make_gallery(service.address)
        clip = write_video(Path(folder) / "walk.mp4", Clip(width=640, height=360, fps=25, frames=150), noise_track(6.0))
        with launched_browser() as browser:
            for name, size in SIZES.items():
                for scheme in ("light", "dark"):
                    show_photo_page(browser, f"{service.address}/", f"{name}-{scheme}", size, scheme)
            show_video_page(browser, f"{service.address}/video", clip)


def make_gallery(address: str) -> None:
    """One small result for each sound that the script of the gallery names."""
    script = (STATIC / "image" / "gallery.js").read_text()
    photo = re.search(r'PHOTO = "([\w-]+)"', script)
    sounds = re.search(r"SOUNDS = \[(.*?)\]", script)
    assert photo
    assert sounds
    folder = STATIC / "gallery"
    folder.mkdir(exist_ok=True)
    for name in re.findall(r'"([\w-]+)"', sounds[1]):
        form = {"image_id": f"example:{photo[1]}", "audio_id": f"example:{name}", "max_side": "480", "format": "png"}
        headers = {"Accept": "image/png", "Prefer": "wait=60"}
        answer = httpx2.post(f"{address}/stylize", data=form, headers=headers, timeout=120)
        answer.raise_for_status()
        result = Image.open(io.BytesIO(answer.content)).convert("RGB").resize(GALLERY_SIZE, Image.Resampling.LANCZOS)
        result.save(folder / f"{name}.jpg", quality=85, optimize=True)


def show_photo_page(browser: Browser, address: str, name: str, size: tuple[int, int], scheme: str) -> None:
    """The first visit, and a result whose volume is being moved."""
    visit = Visit(browser, address, size, scheme)
    page = visit.page
    expect(page.locator("#gallery")).to_be_visible()
    page.wait_for_load_state("networkidle")
    _save(page, f"page-first-{name}")
    page.locator("#picture-examples button").first.click()
    page.locator("#sound-examples").get_by_role("button", name="Heavy rain").click()
    result_of(page)
    page.locator("#gain").fill("-9")
    wait_until_live(page)
    _save(page, f"page-{name}")
    visit.close()


def show_video_page(browser: Browser, address: str, clip: Path) -> None:
    """A curve that is drawn over the soundtrack."""
    visit = Visit(browser, address, SIZES["desk"])
    page = visit.page
    page.set_input_files("#video-input", clip)
    expect(page.locator("#status")).to_contain_text("6.0 s", timeout=PATIENCE_MS)
    box = page.locator("#curve .plot").bounding_box()
    assert box
    page.locator("#curve").scroll_into_view_if_needed()
    box = page.locator("#curve .plot").bounding_box()
    assert box
    for x, y in ((0.2, 0.65), (0.5, 0.28), (0.8, 0.12)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    _save(page, "page-video", whole=True)
    visit.close()


def _save(page: Page, name: str, whole: bool = False) -> None:
    page.screenshot(path=ROOT / "docs" / f"{name}.jpg", type="jpeg", quality=80, full_page=whole)


if __name__ == "__main__":
    main()
