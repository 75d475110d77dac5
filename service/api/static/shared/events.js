// Reads server-sent events by fetch, since an EventSource cannot send a key, and reconnects as one would.

import { fetchWithKey } from "./key.js";

const RECONNECT_MS = 1000;

/**
 * Yields the data of each event, whatever breaks in between, until the service has no more or refuses.
 * onBreak() is called whenever the connection breaks.
 */
export async function* readEvents(address, signal, onBreak) {
  let last = "0";
  for (;;) {
    try {
      const response = await fetchWithKey(address, { headers: { "Last-Event-ID": last }, signal });
      if (response.status !== 200) return;
      for await (const { id, data } of parse(response.body)) {
        last = id ?? last;
        if (data) yield data;
      }
    } catch (error) {
      if (signal.aborted) throw error;
      onBreak();
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

/** Yields the fields of each event; a comment has none. */
async function* parse(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) yield Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/)));
    }
  } finally {
    reader.cancel().catch(() => {}); // a broken stream is closed already
  }
}
