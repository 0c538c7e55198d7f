/** The keyboard: `g` and a letter go to a page, j and k move among rows, / searches. */

import { help } from "./dialogs.js";
import { togglePause } from "./live.js";
import { step } from "./lists.js";
import { PAGES } from "./navigation.js";
import { address, go } from "./router.js";

/** @param {{theme: () => void, own: () => Record<string, () => void>}} actions `own` gives the keys of the present page */
export function listenToKeys({ theme, own }) {
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const { target, key } = event;
    const typing = target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (document.querySelector("dialog[open]")) return; // which closes on Escape by itself
    if (typing) {
      if (key === "Escape") target.blur();
      return;
    }
    if (Date.now() - going < 1500) {
      going = 0;
      const page = PAGES.find(([, , letter]) => letter === key);
      if (page) {
        event.preventDefault();
        go(address(page[1]));
        return;
      }
    }
    const main = document.getElementById("main");
    const actions = {
      g: () => {
        going = Date.now();
      },
      "/": () => main.querySelector("[data-search]")?.focus(),
      "?": help,
      j: () => step(main, 1),
      k: () => step(main, -1),
      p: togglePause,
      t: theme,
      ...own(),
    };
    if (!(key in actions)) return;
    event.preventDefault();
    actions[key]();
  });
}
