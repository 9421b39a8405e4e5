/** A small form for the access token, shown only if the gateway asks for one. */

import { byId, setText } from "./dom.js";
import { t } from "./words.js";

let asking = null;

/** The token a person enters; `again` says that the one before was refused. Questions asked meanwhile wait for the same answer. */
export function askForToken(again) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token");
    const field = byId("token-field");
    setText(byId("token-why"), t(again ? "token.again" : "token.why"));
    field.value = "";
    const stay = (event) => event.preventDefault();
    dialog.addEventListener("cancel", stay);
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.removeEventListener("cancel", stay);
      dialog.close();
      asking = null;
      resolve(field.value.trim());
    }, { once: true });
    dialog.showModal();
    field.focus();
  });
  return asking;
}
