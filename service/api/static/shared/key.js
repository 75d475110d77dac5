// The visitor's API key: asked for when the service wants one, kept until the tab is closed, sent with every request.

import { element } from "./dom.js";

const NAME = "adis-api-key";
let asking = null;

export const storedKey = () => sessionStorage.getItem(NAME);

/** `fetch` with the key; see `withKey`. */
export const fetchWithKey = (address, options = {}) => withKey((headers) => fetch(address, { ...options, headers: { ...options.headers, ...headers } }));

/**
 * The response of what send(headers) sends with the key. Where the service wants another, the visitor is asked; who
 * gives none gets the refusal.
 */
export async function withKey(send) {
  for (;;) {
    const key = storedKey();
    const response = await send(key ? { Authorization: `Bearer ${key}` } : {});
    if (response.status !== 401) return response;
    if (storedKey() !== key) continue; // given meanwhile, because of another request
    asking ??= ask(key !== null).finally(() => (asking = null));
    if (!(await asking)) return response;
  }
}

/** Resolves to whether a key was given. */
function ask(refused) {
  const input = element("input", { type: "password", id: "api-key", autocomplete: "off", spellcheck: false, required: true });
  input.pattern = "\\s*[!-~]+\\s*"; // what a header can carry
  const cancel = element("button", { type: "button", className: "button" }, "Cancel");
  const form = element(
    "form",
    {},
    element("h2", { id: "api-key-title" }, "API key"),
    element("p", {}, refused ? "That key is not valid. It is mistyped, or has expired or been revoked." : "This service wants a key from its visitors."),
    element("label", { htmlFor: "api-key" }, "Key"),
    input,
    element("p", { className: "hint" }, "It is kept until this tab is closed."),
    element("div", { className: "actions" }, element("button", { type: "submit", className: "button primary" }, "Use this key"), cancel),
  );
  const dialog = element("dialog", { className: "card ask" }, form);
  dialog.setAttribute("aria-labelledby", "api-key-title");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(NAME, input.value.trim());
    dialog.close("given");
  });
  cancel.addEventListener("click", () => dialog.close(""));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "given");
    });
  });
}
