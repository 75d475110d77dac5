"""What is chosen or pressed while the page is still busy with what came before."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.support.browsing import Visit, choose, result_of, wait_until_true


@contextmanager
def files_held(page: Page) -> Iterator[None]:
    """Nothing that is chosen can be kept in this browser meanwhile: a transaction of ours goes on in the store."""
    page.evaluate(
        """() => new Promise((resolve, reject) => {
            const request = indexedDB.open("stylization");
            request.onerror = reject;
            request.onsuccess = () => {
                const store = request.result.transaction("files", "readwrite").objectStore("files");
                window.filesAreHeld = true;
                const holdOn = () => {
                    resolve();
                    if (window.filesAreHeld) store.count().onsuccess = holdOn;
                    else request.result.close();
                };
                store.count().onsuccess = holdOn;
            };
        })"""
    )
    yield
    page.evaluate("() => { window.filesAreHeld = false; }")


def test_a_photo_and_a_sound_chosen_at_once_make_one_job(visit: Visit, photo: Path, sound: Path) -> None:
    """A photo that is shown but not kept yet begins nothing: once it is, it would end what it had begun."""
    page = visit.page
    visit.hold("**/stylize", "POST")
    with files_held(page):
        page.set_input_files("#picture-input", photo)
        wait_until_true(page, "document.querySelector('#compare .before').naturalWidth === 320")
        with page.expect_response("**/uploads"):
            page.set_input_files("#sound-input", sound)
        # nothing runs; the attribute, since what the button lies in is hidden anyway
        expect(page.locator("#cancel")).to_have_attribute("hidden", "")

    visit.let_go()

    result_of(page)
    assert not [request for request in visit.requests if request.method == "DELETE"]  # no job was cancelled


def test_what_was_just_cancelled_is_made_if_it_is_asked_for_again(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    visit.hold("**/stylize", "POST")  # a request that is handed in is not broken off
    with page.expect_request("**/stylize"):
        choose(page, photo, sound)
    page.locator("#cancel").click()
    with page.expect_request("**/stylize"):
        page.locator("#go").click()

    visit.let_go()

    result_of(page)
