// Before anything is drawn, so that no page flashes in the other theme. Not a module for that reason.
(() => {
  const chosen = localStorage.getItem("waystation.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
