"""`python -m tests.bench.page`: the web page in real Chromium; a table on the screen, JSON beside it.

First visits by profiles that know nothing: from the navigation over two clicks to the first result. The page's frames
while the volume is dragged by the mouse. What a session of ten settings sends of a photograph of 12 megapixels. On a
machine that does other things too, compare the processor's seconds, not those of the clock.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect

from tests.bench.processes import processor_seconds
from tests.support.browsing import (
    DESK,
    PHONE,
    Visit,
    choose,
    launched_browser,
    next_result,
    result_of,
    set_dial,
    wait_until_live,
    wait_until_true,
)
from tests.support.media import make_noise, make_photo, write_jpeg, write_wav
from tests.support.running_service import ROOT, RunningService, running_service
from training.stages.precision import instruction_set

SIZES = {"desk": DESK, "phone": PHONE}
SETTINGS = range(-30, -20)  # dB
PATIENCE_MS = 600_000  # a result of 12 megapixels, on a machine that does other things too
STEPS_A_SECOND = 60  # of the mouse, where the machine keeps up

# Seconds since the navigation at which a picture could first be seen: two frames after the page shows it.
_STAMPS = """
globalThis.stamps = {};
const stamp = (name) => {
    if (name in stamps) return;
    stamps[name] = null;
    requestAnimationFrame(() => requestAnimationFrame(() => (stamps[name] = performance.now() / 1000)));
};
new MutationObserver(() => {
    if (document.querySelector("#sound-examples button")?.checkVisibility()) stamp("offered");
    const shows = document.querySelector("#compare")?.dataset.shows;
    if (shows) stamp(shows);
}).observe(document, { subtree: true, childList: true, attributes: true });
addEventListener("click", () => (stamps.clicked = performance.now() / 1000), true);
"""
_FRAMES = """() => {
    globalThis.frames = [];
    const follow = (now) => {
        frames.push(now);
        if (globalThis.frames) requestAnimationFrame(follow);
    };
    requestAnimationFrame(follow);
}"""


def first_visit(service: RunningService, size: tuple[int, int]) -> dict[str, float]:
    """Two clicks in a new browser: seconds since the navigation, bytes that came, seconds of processors."""
    with launched_browser() as browser:
        visit = Visit(browser, "about:blank", size)
        page, loaded = visit.page, Loaded(visit.page)
        page.add_init_script(_STAMPS)
        before = Spent(service)
        page.goto(f"{service.address}/", wait_until="commit")
        page.locator("#picture-examples button").first.click()
        page.locator("#sound-examples button").first.click()
        result_of(page)
        wait_until_true(page, "Boolean(stamps.result)")
        spent, until_result = before.since(), loaded.bytes
        page.wait_for_load_state("networkidle")
        wait_until_live(page)
        live = before.since()
        stamps: dict[str, float] = page.evaluate("stamps")
        visit.close()
    return {
        "offered_seconds": stamps["offered"],
        "clicked_seconds": stamps["clicked"],
        "result_seconds": stamps["result"],
        "click_to_result_seconds": stamps["result"] - stamps["clicked"],
        "bytes_until_result": until_result,
        "service_processor_seconds": spent[0],
        "browser_processor_seconds": spent[1],
        "service_processor_seconds_until_live": live[0],
        "browser_processor_seconds_until_live": live[1],
    }


def drag(service: RunningService, photo: Path, sound: Path, seconds: float, size: tuple[int, int]) -> dict[str, float]:
    """The volume dragged to and fro by the mouse: frames of the page, those with a new picture, and requests."""
    with launched_browser() as browser:
        visit = Visit(browser, f"{service.address}/", size)
        page = visit.page
        choose(page, photo, sound)
        result_of(page)
        wait_until_live(page)
        dial = page.locator("#gain")
        dial.scroll_into_view_if_needed()
        box = dial.bounding_box()
        assert box
        y = box["y"] + box["height"] / 2
        left, right = (box["x"] + box["width"] * share for share in (0.1, 0.9))
        page.mouse.move(left, y)
        page.mouse.down()
        requests, drawn = len(visit.requests), _drawn(page)
        page.evaluate(_FRAMES)
        for turn in range(round(seconds)):
            page.mouse.move(left if turn % 2 else right, y, steps=STEPS_A_SECOND)
        stamps = np.array(page.evaluate("(() => { const all = frames; frames = null; return all; })()"))
        found = {"requests": float(len(visit.requests) - requests), "drawn": float(_drawn(page) - drawn)}
        page.mouse.up()
        visit.close()
    intervals = np.diff(stamps)
    elapsed = float(stamps[-1] - stamps[0]) / 1000
    return {
        "seconds": elapsed,
        "frames_per_second": len(intervals) / elapsed,
        "pictures_per_second": found["drawn"] / elapsed,
        "median_interval_ms": float(np.median(intervals)),
        "p95_interval_ms": float(np.percentile(intervals, 95)),
        "requests": found["requests"],
    }


def ten_settings(service: RunningService, photo: Path, sound: Path) -> dict[str, float]:
    """How often a photograph is sent while ten settings are tried, and how many bytes are sent in all."""
    with launched_browser() as browser:
        visit = Visit(browser, f"{service.address}/")
        expect.set_options(timeout=PATIENCE_MS)
        page = visit.page
        choose(page, photo, sound)
        address = result_of(page)
        for gain in list(SETTINGS)[1:]:
            set_dial(page, "#gain", gain)
            address = next_result(page, address)
        expect(page.locator("#results li")).to_have_count(len(SETTINGS))
        sent = [int(request.all_headers().get("content-length", 0)) for request in visit.requests]
        visit.close()
    size = photo.stat().st_size
    return {
        "photo_bytes": size,
        "uploads_of_the_photo": sum(length > size for length in sent),
        "bytes_sent": sum(sent),
        "results": len(SETTINGS),
    }


class Loaded:
    """The bytes that the page's answers took on the wire, so far."""

    def __init__(self, page: Page) -> None:
        self.bytes = 0
        session = page.context.new_cdp_session(page)
        session.on("Network.loadingFinished", self._count)
        session.send("Network.enable")

    def _count(self, event: dict[str, Any]) -> None:
        self.bytes += int(event["encodedDataLength"])


class Spent:
    """Processor seconds of the service, and of Chromium with what drives it, since this was made."""

    def __init__(self, service: RunningService) -> None:
        self._service = service
        self._before = self._now()

    def since(self) -> tuple[float, float]:
        now = self._now()
        return now[0] - self._before[0], now[1] - self._before[1]

    def _now(self) -> tuple[float, float]:
        service = processor_seconds(self._service.pid)
        own = sum(os.times()[:2])
        return service, processor_seconds(os.getpid()) - service - own


def _drawn(page: Page) -> int:
    return int(page.locator("#compare .blend").get_attribute("data-frames") or 0)


def middle(visits: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: median(visit[name] for visit in visits) for name in visits[0]}


def measure(bundle: Path, work: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """All figures, by what they are of."""
    photo = write_jpeg(work / "photo.jpg", make_photo(1600, 1067))
    large = write_jpeg(work / "large.jpg", make_photo(4000, 3000))
    sound = write_wav(work / "noise.wav", make_noise(5.0))
    found: dict[str, dict[str, float]] = {}
    print("starting the service; the pages follow, one after the other", file=sys.stderr, flush=True)
    with running_service(work / "data", bundle.parent, default_model=bundle.name) as service:
        found["first visit, new service"] = first_visit(service, SIZES["desk"])
        visits: dict[str, list[dict[str, float]]] = {name: [] for name in SIZES}
        for turn in range(options.visits):
            print(f"first visits: turn {turn + 1} of {options.visits}", file=sys.stderr, flush=True)
            for name, size in SIZES.items():
                visits[name].append(first_visit(service, size))
        for name, several in visits.items():
            found[f"first visit, {name}"] = middle(several)
        for name, size in SIZES.items():
            found[f"drag, {name}"] = drag(service, photo, sound, options.drag_seconds, size)
        if not options.quick:
            print("ten settings with 12 megapixels", file=sys.stderr, flush=True)
            found["ten settings, 12 MP"] = ten_settings(service, large, sound)
    return found


def main() -> int:
    """Measure, print, and write the JSON; 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.page", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "demo", help="bundle (default: models/demo)")
    parser.add_argument("--visits", type=int, default=5, help="first visits at each size (default: 5)")
    parser.add_argument("--drag-seconds", type=float, default=5.0, help="length of a drag (default: 5)")
    parser.add_argument("--quick", action="store_true", help="without the session of ten settings")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-page.json", help="JSON (default: %(default)s)")
    options = parser.parse_args()
    bundle = options.bundle.resolve()
    if not (bundle / "manifest.json").is_file():
        parser.error(f"{bundle} is not a bundle: it has no manifest.json")
    report: dict[str, Any] = {
        "cores": os.cpu_count(),
        "instruction_set": instruction_set(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    with tempfile.TemporaryDirectory() as folder:
        report["page"] = measure(bundle, Path(folder), options)
    for name, figures in report["page"].items():
        for figure, value in figures.items():
            print(
                f"{name:26}  {figure:38}  {value:>12,.0f}" if value > 999 else f"{name:26}  {figure:38}  {value:>12.2f}"
            )
    print(f"{report['cores']} cores, {report['instruction_set']}, load {report['load_before']} before")
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
