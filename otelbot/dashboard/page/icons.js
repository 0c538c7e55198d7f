/** Line icons, 24 × 24. */

import { svg } from "./dom.js";

const PATHS = {
  overview: ["M4 4h7v9H4z", "M13 4h7v5h-7z", "M13 11h7v9h-7z", "M4 15h7v5H4z"],
  updates: ["M4 6h16", "M4 12h10", "M4 18h6", "m15 15 3 3 3-5"],
  telegram: ["M21 4 3 11l6 2.5L19 6l-8 9v5l3-3.500 4 3z"],
  conversations: ["M4 5h16l-6 7v6l-4 2v-8z"],
  databases: ["M4 6c0-3 16-3 16 0s-16 3-16 0", "M4 6v12c0 3 16 3 16 0V6", "M4 12c0 3 16 3 16 0"],
  runtime: ["M3 12h4l2-6 4 13 3-9 1.500 2H21"],
  errors: ["M12 4 3 20h18z", "M12 10v4", "M12 17v.2"],
  traces: ["M4 6h10", "M8 11h9", "M12 16h8", "M4 20h5"],
  logs: ["M5 5h14", "M5 10h14", "M5 15h9", "M5 20h11"],
  alerts: ["M6 17V11a6 6 0 0 1 12 0v6l2 1H4z", "M10 21h4"],
  compare: ["M8 4v16", "M16 4v16", "M4 8h4", "M16 16h4"],
  pause: ["M8 5v14", "M16 5v14"],
  play: ["M7 5v14l12-7z"],
  sun: [
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8",
    "M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.500 1.500M17.500 17.500 19 19M19 5l-1.500 1.500M6.500 17.500 5 19",
  ],
  moon: ["M20 14A8 8 0 1 1 10 4a6.500 6.500 0 0 0 10 10z"],
  language: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", "M3 12h18", "M12 3c-6 6-6 12 0 18 6-6 6-12 0-18"],
  help: [
    "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
    "M9.500 9.500a2.500 2.500 0 1 1 3.500 2.300c-.7.300-1 .9-1 1.700",
    "M12 17v.2",
  ],
  clear: ["M5 7h14", "M9 7V4h6v3", "M7 7l1 13h8l1-13"],
  more: ["M4 7h16", "M4 12h16", "M4 17h16"],
  close: ["M6 6l12 12M18 6 6 18"],
  copy: ["M9 9h11v11H9z", "M5 15H4V4h11v1"],
  chevron: ["m9 6 6 6-6 6"],
  left: ["m14 6-6 6 6 6"],
  right: ["m10 6 6 6-6 6"],
  search: ["M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12", "m16 16 4 4"],
  silence: ["M9 5.500A6 6 0 0 1 18 11v3", "M16 18H4l2-1v-6a6 6 0 0 1 .500-2.500", "M10 21h4", "M4 4l16 16"],
};

/** An icon that assistive technology passes over: the button beside it has the words. */
export function icon(name) {
  return svg(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 24 24", "aria-hidden": "true" },
    PATHS[name].map((d) => svg("path", { d })),
  );
}
