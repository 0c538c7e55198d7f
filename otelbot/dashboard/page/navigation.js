/** The pages of the navigation. */

/** Pages in the order of the navigation, with the letter that follows `g`. */
export const PAGES = [
  ["overview", "/", "o"],
  ["traces", "/traces", "t"],
  ["logs", "/logs", "l"],
  ["errors", "/errors", "e"],
  ["alerts", "/alerts", "a"],
  ["updates", "/updates", "u"],
  ["telegram", "/telegram", "b"],
  ["conversations", "/conversations", "c"],
  ["databases", "/databases", "d"],
  ["runtime", "/runtime", "r"],
];
