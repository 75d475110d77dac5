// The card that says what the model heard.

import { element } from "./dom.js";
import { dbfs, likeness, loudness, percent, sentence } from "./words.js";

/** section: the card. heard: the report of a result. */
export function showHeard(section, heard) {
  section.hidden = false;
  section.querySelector(".likeness").textContent = `${likeness(heard.nearest)}.`;
  section.querySelector(".warnings").replaceChildren(...heard.warnings.map(({ detail }) => element("li", {}, sentence(detail))));
  const lines = [
    ["Loudness", `${loudness(heard.loudness_dbfs)}, ${dbfs(heard.loudness_dbfs)}`],
    ["Effect", percent(heard.effect)],
  ];
  if (heard.speech_share >= 0.01) lines.push(["Speech", percent(heard.speech_share)]);
  const nodes = lines.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]);
  const meter = element("meter", { min: 0, max: 1, value: heard.effect, ariaLabel: "Effect on the picture" });
  section.querySelector(".facts").replaceChildren(...nodes, element("dd", { className: "wide" }, meter));
}
