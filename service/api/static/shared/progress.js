// How far a job is: the bar, the words beside it, Cancel and Esc.

import { find, showProgressBar } from "./dom.js";
import { about } from "./words.js";

export class Progress {
  /** onCancel() is called by the button, and by Esc while something runs. */
  constructor(onCancel) {
    this.bar = find("#progress");
    this.status = find("#status");
    this.cancel = find("#cancel");
    this.cancel.addEventListener("click", onCancel);
    window.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.cancel.hidden || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      onCancel();
    });
  }

  begin() {
    this.began = performance.now();
    this.ran = null;
    this.cancel.hidden = false;
    this.#show(null, "Sending …");
  }

  /** Shows the job's state. Returns the seconds that are left, as far as that is known. */
  follow(job) {
    const { done, total, unit } = job.progress;
    if (job.state === "queued") {
      const ahead = job.jobs_ahead ? `, ${job.jobs_ahead} before this one` : "";
      const left = job.estimated_seconds > 1 ? `, ${about(job.estimated_seconds)}` : "";
      this.#show(null, `Waiting${ahead}${left} …`);
      return job.estimated_seconds;
    }
    if (job.state !== "running") return null;
    this.ran ??= performance.now();
    const left = done > 0 && done < total ? ((performance.now() - this.ran) / 1000 / done) * (total - done) : null;
    const words = total > 1 ? `${done} of ${total} ${unit}` : "Stylizing …";
    this.#show(job.progress, left === null ? words : `${words}, ${about(left)} left`);
    return left;
  }

  /** words: what stays there; without them what was there before is for the caller to show. */
  end(words) {
    this.bar.hidden = this.cancel.hidden = true;
    this.status.textContent = words;
  }

  get seconds() {
    return (performance.now() - this.began) / 1000;
  }

  #show(progress, words) {
    showProgressBar(this.bar, progress, true);
    this.status.textContent = words;
  }
}
