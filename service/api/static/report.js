// How far a job is, what the model heard, and the strip of a volume sweep.

export function decibels(value) {
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)} dB`;
}

export function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

/** section: the card. heard: the report of the job's result. */
export function showHeard(section, heard) {
  section.hidden = false;
  section.querySelector(".warnings").replaceChildren(...heard.warnings.map(({ detail }) => element("li", {}, sentence(detail))));
  section.querySelector(".facts").replaceChildren(...facts(heard));
  section.querySelector("h3").hidden = heard.nearest.length === 0;
  section.querySelector(".scores").replaceChildren(...heard.nearest.map(({ name, score }) => scoreLine(name, score)));
}

export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;

function facts(heard) {
  const lines = [
    ["Loudness", `${heard.loudness_dbfs.toFixed(1).replace("-", "−")} dBFS`],
    ["Effect on the picture", `${Math.round(heard.effect * 100)} %`],
  ];
  if (heard.speech_share != null) lines.push(["Speech", `${Math.round(heard.speech_share * 100)} %`]);
  return lines.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]);
}

function scoreLine(name, score) {
  const shown = Math.max(0, score);
  return element(
    "li",
    {},
    element("span", {}, name),
    element("output", {}, score.toFixed(2).replace("-", "−")),
    element("meter", { min: 0, max: 1, value: shown, ariaLabel: `Likeness to ${name}` }),
  );
}

/** results: [{address, gain}]. onChoose(index) is called when one is picked. Returns a function that marks one. */
export function showSweep(section, results, onChoose) {
  section.hidden = results.length < 2;
  const buttons = results.map(({ address, gain }, index) => {
    const button = element("button", { type: "button" }, element("img", { src: address, alt: "" }), element("span", {}, decibels(gain)));
    button.setAttribute("aria-label", `Show the result at ${decibels(gain)}`);
    button.addEventListener("click", () => onChoose(index));
    return button;
  });
  section.querySelector("ol").replaceChildren(...buttons.map((button) => element("li", {}, button)));
  return (chosen) => buttons.forEach((button, index) => button.setAttribute("aria-pressed", index === chosen));
}

/** bar: the progress bar. progress: {done, total} or null. wait: whether nothing done yet counts as not known. */
export function showProgressBar(bar, progress, wait = false) {
  const known = progress?.total > 0 && !(wait && progress.done === 0);
  bar.hidden = false;
  bar.classList.toggle("waiting", !known);
  bar.style.setProperty("--done", known ? progress.done / progress.total : 0);
  if (known) bar.setAttribute("aria-valuenow", Math.round((100 * progress.done) / progress.total));
  else bar.removeAttribute("aria-valuenow");
}
