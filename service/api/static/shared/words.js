// Numbers and reports in words.

const minus = (text) => text.replace("-", "−");
const UNITS = ["B", "KB", "MB", "GB"];
const KINDS = { "image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WebP", "video/mp4": "MP4", "video/webm": "WebM" };

/** Such as "+1.2 dB": one decimal at most. */
export function decibels(value) {
  const rounded = Math.round(value * 10) / 10 || 0;
  return `${rounded > 0 ? "+" : ""}${minus(String(rounded))} dB`;
}

/** Such as "1:05.3". */
export function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

/** Such as "2.1 MB". */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  for (; value >= 999.5 && unit < UNITS.length - 1; unit++) value /= 1000;
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Such as "JPEG, 2.1 MB". */
export const kindAndSize = (mediaType, bytes) => `${KINDS[mediaType] ?? mediaType}, ${size(bytes)}`;

/** Such as "about 40 s" or "about 3 min". */
export function about(seconds) {
  return seconds < 90 ? `about ${Math.max(1, Math.ceil(seconds))} s` : `about ${Math.round(seconds / 60)} min`;
}

/** A capital at its beginning, unless that is the name of a file, and a full stop at its end. */
export function sentence(text) {
  const begun = /^\S*\.\w/.test(text) ? text : `${text[0].toUpperCase()}${text.slice(1)}`;
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

const ARTICLES = { storm: "a storm", desert: "a desert" };
const named = ({ name }) => ARTICLES[name] ?? name;

/** What a sound is like, from the report's nearest known sounds, in order of their scores. */
export function likeness(nearest) {
  const near = nearest.filter(({ score }) => score >= 0.3);
  if (near.length === 0) return "Like no sound that it knows";
  const [first, ...others] = near;
  const words = first.score >= 0.7 ? "Sounds like" : first.score >= 0.5 ? "Sounds somewhat like" : "Sounds a little like";
  const also = others.filter(({ score }) => score >= 0.5 * first.score).map(named);
  return `${words} ${named(first)}${also.length ? `, and like ${also.join(" and ")}` : ""}`;
}

/** How loud a sound is that has this loudness. */
export function loudness(dbfs) {
  if (dbfs < -65) return "hardly to be heard";
  if (dbfs < -45) return "very quiet";
  if (dbfs < -32) return "quiet";
  if (dbfs < -20) return "medium";
  return dbfs < -8 ? "loud" : "very loud";
}

export const percent = (share) => `${Math.round(share * 100)} %`;
export const dbfs = (value) => `${minus(value.toFixed(1))} dBFS`;
