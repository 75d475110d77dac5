// Tells that a long job is done to somebody who looks at something else: in the tab's title, and by a notification.

import { find } from "../shared/dom.js";

const LONG_SECONDS = 20;

export class Notice {
  constructor() {
    this.title = document.title;
    this.button = find("#notify");
    this.wanted = false;
    this.button.addEventListener("click", async () => {
      this.wanted = (await Notification.requestPermission()) === "granted";
      this.button.textContent = this.wanted ? "You will be told" : "The browser does not allow it";
      this.button.disabled = true;
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && !this.running) document.title = this.title;
    });
  }

  begin() {
    this.running = true;
    this.wanted = false;
    this.button.disabled = false;
    this.button.textContent = "Tell me when it is done";
  }

  /** job: as it is now; secondsLeft: as far as that is known. */
  follow(job, secondsLeft) {
    const { done, total } = job.progress;
    if (job.state === "running" && done > 0) document.title = `${Math.floor((100 * done) / total)} % · ${this.title}`;
    if (secondsLeft > LONG_SECONDS && globalThis.isSecureContext && "Notification" in globalThis) this.button.hidden = false;
  }

  /** words: what has come of it; null after a cancellation. */
  end(words) {
    this.running = false;
    this.button.hidden = true;
    document.title = words && document.hidden ? `${words} · ${this.title}` : this.title;
    if (!words || !this.wanted || !document.hidden) return;
    const notification = new Notification(words, { body: find("#video-name").textContent, icon: "static/icon.svg" });
    notification.addEventListener("click", () => {
      window.focus();
      notification.close();
    });
  }
}
