// What the model heard, and the strip of a volume sweep.

export function decibels(value) {
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)} dB`;
}

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

/** section: the card. reports: one of what was heard in each sound. */
export function showHeard(section, reports, names) {
  section.hidden = reports.length === 0;
  const warnings = reports.flatMap((report, index) =>
    report.warnings.map(({ detail }) => element("li", {}, reports.length > 1 ? `${names[index]}: ${detail}.` : sentence(detail))),
  );
  section.querySelector(".warnings").replaceChildren(...warnings);
  section.querySelector(".facts").replaceChildren(...reports.flatMap((report, index) => facts(report, reports.length > 1 && names[index])));
  const scores = reports.flatMap((report, index) =>
    report.nearest.map(({ name, score }) => scoreLine(reports.length > 1 ? `${names[index]}: ${name}` : name, score)),
  );
  section.querySelector("h3").hidden = scores.length === 0;
  section.querySelector(".scores").replaceChildren(...scores);
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

function facts(report, name) {
  const { start_seconds: start, length_seconds: length } = report;
  const lines = [
    ["Loudness", `${report.loudness_dbfs.toFixed(1)} dBFS`],
    ["Window", `${start.toFixed(1)} to ${(start + length).toFixed(1)} s`],
  ];
  if (report.effect !== undefined) lines.push(["Effect", `${Math.round(report.effect * 100)} %`]);
  if (report.speech_share != null) lines.push(["Speech", `${Math.round(report.speech_share * 100)} %`]);
  return lines.flatMap(([term, value]) => [element("dt", {}, name ? `${name}, ${term.toLowerCase()}` : term), element("dd", {}, value)]);
}

function scoreLine(name, score) {
  const shown = Math.max(0, score);
  return element(
    "li",
    {},
    element("span", {}, name),
    element("output", {}, score.toFixed(2)),
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
