// Colours as the system has them, or as the reader chose on an earlier page; set before the page is drawn.
(() => {
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("theme") || ""; } catch { return ""; } };
  const apply = (theme) => { if (theme) root.dataset.theme = theme; else delete root.dataset.theme; };
  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    const select = document.getElementById("theme");
    select.closest("label").hidden = false;
    select.value = stored();
    select.addEventListener("change", () => {
      apply(select.value);
      try { localStorage.setItem("theme", select.value); } catch { /* no storage: for this page alone */ }
    });
  });
})();
