"""What the service makes of a video plays in a real browser."""

from pathlib import Path

import httpx2 as httpx
from playwright.sync_api import Browser

from tests.browser.test_page import PATIENCE_MS, browser, service  # noqa: F401  # fixtures
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


def test_the_result_plays_to_its_end(service: RunningService, browser: Browser, tmp_path: Path) -> None:  # noqa: F811
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
