// How far a job is: the bar, the words beside it, Cancel and Esc.

import { find, showProgressBar } from "./dom.js";
import { sending, stopSending } from "./sending.js";
import { about, size } from "./words.js";

const QUICK_SECONDS = 0.5; // what is sent in that time needs no bar
const STEP = 5; // percent; the words say no more, since a screen reader speaks all of them

export class Progress {
  /** onCancel() is called by the button, and by Esc while something runs; what is being sent is broken off, too. */
  constructor(onCancel) {
    this.bar = find("#progress");
    this.status = find("#status");
    this.cancel = find("#cancel");
    this.phase = null; // "sending" and then "job" while one runs
    this.before = null; // the words before a file was sent without a job
    const stop = () => {
      stopSending();
      onCancel();
    };
    this.cancel.addEventListener("click", stop);
    window.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.cancel.hidden || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      stop();
    });
    sending.addEventListener("progress", ({ detail }) => this.#followSending(detail));
  }

  begin() {
    this.began = performance.now();
    this.ran = null;
    this.phase = "sending";
    this.before = null;
    this.cancel.hidden = false;
    this.#show(null, "Sending …");
  }

  /** sent: as `sending` tells it. A file is sent when it is chosen, before there is a job, too. */
  #followSending(sent) {
    if (this.phase === "job") return;
    if (!sent) {
      if (this.phase === null && this.before !== null) this.end(this.before);
      return;
    }
    if (sent.seconds < QUICK_SECONDS) return;
    if (this.phase === null) this.before ??= this.status.textContent;
    this.cancel.hidden = false;
    const share = sent.loaded / sent.total;
    const left = share > 0 ? `, ${about((sent.seconds / share) * (1 - share))} left` : "";
    const percent = `${Math.floor((100 * share) / STEP) * STEP} % of ${size(sent.total)}`;
    this.#show({ done: sent.loaded, total: sent.total }, `Sending ${sent.name}: ${percent}${share < 1 ? left : ""}`);
  }

  /** Shows the job's state. Returns the seconds that are left, as far as that is known. */
  follow(job) {
    this.phase = "job";
    const { done, total, unit } = job.progress;
    if (job.broken) {
      this.#show(null, "The connection broke; trying again …");
      return null;
    }
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
    this.phase = this.before = null;
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
