// Sets theme and direction before anything is drawn, so that nothing flashes. No module, because those run late.
(() => {
  const stored = (name) => {
    try {
      return localStorage.getItem(`otelbot.${name}`);
    } catch {
      return null; // storage is switched off
    }
  };
  const page = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = stored("theme");
  page.dataset.theme = theme === "dark" || theme === "light" ? theme : dark ? "dark" : "light";
  const language = stored("language") ?? (navigator.language ?? "en").slice(0, 2);
  page.lang = language === "fa" ? "fa" : "en";
  page.dir = page.lang === "fa" ? "rtl" : "ltr";
})();
