// A result by its link: made in another browser, or by somebody else.

import { fetchJob, fetchResult } from "../shared/api.js";
import { Problem } from "../shared/problem.js";
import { settingsOf } from "./settings.js";

/** The result as the strip has them, without its photo and sounds. Throws a Problem if there is none. */
export async function fetchLinked(id, index) {
  const job = await fetchJob(id);
  const result = job.results[index];
  if (!result) throw new Problem({ title: "There is no such result", detail: "What the link leads to has not been made." });
  const names = (field) => result.receipt.inputs.filter((input) => input.field === field).map(({ name }) => ({ name }));
  return {
    ...result,
    id: `${id}-${index}`,
    blob: await fetchResult(result.url),
    mediaType: result.media_type,
    fileName: result.file_name,
    picture: names("image")[0],
    sounds: names("audio"),
    settings: settingsOf({ ...result.receipt, gain_db: result.gain_db }),
  };
}
