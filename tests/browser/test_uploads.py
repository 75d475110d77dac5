"""A photo is sent once in a session, however many settings are tried."""

from pathlib import Path

from playwright.sync_api import expect

from tests.support.browsing import Visit, choose, next_result, result_of, set_dial
from tests.support.media import tiled_photo, write_jpeg


def test_a_photo_of_12_megapixels_is_sent_once_in_a_session_of_ten_settings(
    visit: Visit, sound: Path, tmp_path: Path
) -> None:
    page = visit.page
    page.locator("#max-side").select_option("512", force=True)  # so that the test is quick; the photo is sent whole
    large = write_jpeg(tmp_path / "large.jpg", tiled_photo(4000, 3000))
    choose(page, large, sound)
    address = result_of(page)
    for gain in range(-30, -21):
        set_dial(page, "#gain", gain)
        address = next_result(page, address)
    expect(page.locator("#results li")).to_have_count(10)
    posts = [request for request in visit.requests if request.method == "POST"]
    sizes = {"uploads": 0, "stylize": 0}
    for request in posts:
        sizes[request.url.split("/")[-1]] += int(request.all_headers()["content-length"])
    files = large.stat().st_size + sound.stat().st_size
    assert files < sizes["uploads"] < files + 2_000
    assert sizes["stylize"] < 1_000 * (len(posts) - 2)


def test_a_reload_sends_nothing_again(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    address = result_of(page)
    page.reload()
    result_of(page)
    visit.requests.clear()
    set_dial(page, "#gain", -25)
    next_result(page, address)
    assert not [request for request in visit.requests if request.method == "POST" and request.url.endswith("/uploads")]
