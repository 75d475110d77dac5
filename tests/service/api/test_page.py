"""The page: whole, self-contained, and shut to everything from outside."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.api import page


@pytest.fixture
def client() -> TestClient:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(page.router)
    return TestClient(app)


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


FILES = [path for path in page.STATIC_DIR.rglob("*") if path.suffix in (".html", ".css", ".js", ".svg")]
PAGES = {"/": "image/page.js", "/video": "video/page.js"}


def scripts_of(page_address: str) -> list[str]:
    """The text of a page's script and of all that it imports."""
    paths, texts = [page.STATIC_DIR / PAGES[page_address]], []
    for path in paths:
        texts.append(path.read_text())
        paths += [other for other in imports_of(path) if other not in paths]
    return texts


def imports_of(script: Path) -> list[Path]:
    return [(script.parent / name).resolve() for name in re.findall(r'from "(\.[^"]+)"', script.read_text())]


@pytest.mark.parametrize("address", PAGES)
def test_the_page_is_html_that_only_takes_from_its_own_origin(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("page_address", PAGES)
def test_every_script_is_loaded_ahead_and_not_one_after_the_other(client: TestClient, page_address: str) -> None:
    tags = _Tags(client.get(page_address).text).tags
    ahead = {attrs["href"] for tag, attrs in tags if tag == "link" and attrs.get("rel") == "modulepreload"}
    paths = [page.STATIC_DIR / PAGES[page_address]]
    for path in paths:
        paths += [other for other in imports_of(path) if other not in paths]
    assert ahead == {f"static/{path.relative_to(page.STATIC_DIR)}" for path in paths[1:]}


@pytest.mark.parametrize("page_address", PAGES)
def test_every_file_that_the_page_names_is_served(client: TestClient, page_address: str) -> None:
    tags = _Tags(client.get(page_address).text).tags
    named = {
        address
        for tag, attributes in tags
        if (address := attributes.get("src") or (attributes.get("href") if tag == "link" else None))
    }
    for script in page.STATIC_DIR.rglob("*.js"):
        named |= {f"static/{path.relative_to(page.STATIC_DIR)}" for path in imports_of(script)}
    assert f"static/{PAGES[page_address]}" in named
    for address in named:
        assert client.get(f"/{address}").status_code == 200, address


@pytest.mark.parametrize("page_address", PAGES)
def test_the_page_has_no_inline_script_and_no_outside_address(client: TestClient, page_address: str) -> None:
    for tag, attributes in _Tags(client.get(page_address).text).tags:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    for file in FILES:
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", file.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, file.name


@pytest.mark.parametrize("page_address", PAGES)
def test_every_label_and_script_names_an_element_that_exists(client: TestClient, page_address: str) -> None:
    tags = _Tags(client.get(page_address).text).tags
    identifiers = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    wanted = {attributes["for"] for _, attributes in tags if "for" in attributes}
    for script in scripts_of(page_address):
        wanted |= set(re.findall(r'(?:find|querySelector)\("#([\w-]+)', script))
    assert wanted <= set(identifiers)


def test_an_unchanged_file_is_not_sent_again(client: TestClient) -> None:
    etag = client.get("/static/shared/style.css").headers["etag"]
    again = client.get("/static/shared/style.css", headers={"If-None-Match": etag})
    assert again.status_code == 304
    assert not again.content


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpage.py", "%2e%2e/page.py", "image/"])
def test_only_the_files_of_the_page_can_be_asked_for(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}", follow_redirects=False).status_code in {404, 307}


def test_every_file_of_the_page_is_small() -> None:
    for file in FILES:
        assert len(file.read_text().splitlines()) < 300, file.name
