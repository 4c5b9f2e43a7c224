
// Connects the page's table and data to DataTables and Vega. Foreign text becomes text nodes, cells
// of data and nothing else.
const find = (id) => document.getElementById(id);
const data = JSON.parse(find("data").textContent);
for (const element of document.querySelectorAll(".needs-script")) element.hidden = false;
const folds = [...document.querySelectorAll("details.folds")];
const fold = (isOpen) => folds.forEach((one) => { one.open = isOpen; });
fold(false);

// Dark and light.
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
const nameTheme = () => { find("theme").textContent = isDark() ? "Light" : "Dark"; };
find("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
});
system.addEventListener("change", nameTheme);
nameTheme();

// The table. Cells without a number come last in both orders.
const number = (text) => (text === "" ? NaN : Number(text));
const by = (sign) => (a, b) => {
  const [x, y] = [number(a), number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? Number.isNaN(x) - Number.isNaN(y) : sign * (x - y);
};
DataTable.type("score", { order: { asc: by(1), desc: by(-1) } });
const KINDS = {
  name: { type: "string" },
  text: { type: "string", width: "8rem" },
  higher: { type: "score", searchable: false, orderSequence: ["desc", "asc"], width: "7rem" },
  lower: { type: "score", searchable: false, orderSequence: ["asc", "desc"], width: "7rem" },
};
// Columns of fixed width: else the browser measures every cell at every change.
find("table").classList.add("fixed");
const PAGE = 100;
const table = new DataTable("#table", {
  columns: data.columns.map((kind) => KINDS[kind]),
  layout: { topStart: null, topEnd: null, bottomStart: "pageLength", bottomEnd: "paging" },
  order: [],
  // A browser lays out thousands of cells anew at every change: more rows than these come in pages.
  paging: find("table").tBodies[0].rows.length > PAGE,
  lengthMenu: [25, PAGE, 250, { label: "all", value: -1 }],
  pageLength: PAGE,
  autoWidth: false,
  language: { zeroRecords: "No model has this in its name.", emptyTable: "No results.", lengthMenu: "_MENU_ rows a page" },
});
// Out of the box that scrolls.
find("pages").append(...document.querySelectorAll(".dt-length, .dt-paging"));
const count = () => {
  const { recordsDisplay, recordsTotal } = table.page.info();
  find("count").textContent = `${recordsDisplay} of ${recordsTotal} rows`;
};
table.on("draw", count);
count();
find("search").addEventListener("input", (event) => table.search(event.target.value).draw());
// On paper nothing scrolls: all rows, and a table of its own for each set.
const tableOf = (set) => {
  const columns = [...set.querySelectorAll(".column")].map((box) => Number(box.dataset.column));
  const isAside = (n) => n >= FIRST && !columns.includes(n);
  const visible = table.columns().visible().toArray().flatMap((on, n) => (on ? [n] : []));
  const made = table.table().node().cloneNode(true);
  made.removeAttribute("id");
  made.classList.remove("fixed");
  made.querySelector("colgroup").remove();
  for (const head of made.tHead.querySelectorAll("th")) {
    if (head.dataset.dtColumn.split(",").map(Number).every(isAside)) head.remove();
  }
  for (const row of made.tBodies[0].rows) {
    const cells = [...row.cells];
    row.hidden = cells.every((cell, n) => !columns.includes(visible[n]) || !cell.dataset.order);
    cells.forEach((cell, n) => { if (isAside(visible[n])) cell.remove(); });
  }
  return made;
};
const FIRST = Number(document.querySelector(".column")?.dataset.column);
addEventListener("beforeprint", () => {
  fold(true);
  table.page.len(-1).draw();
  const sets = [...document.querySelectorAll("#columns fieldset")];
  find("printed").replaceChildren(...sets.filter((set) => set.querySelector(".group").checked).map(tableOf));
  document.documentElement.dataset.printing = "yes";
});
addEventListener("afterprint", () => {
  delete document.documentElement.dataset.printing;
  find("printed").replaceChildren();
  table.page.len(PAGE).draw();
});
find("controls").addEventListener("submit", (event) => event.preventDefault());

// Columns, and sets of them.
for (const set of document.querySelectorAll("#columns fieldset")) {
  const group = set.querySelector(".group");
  const boxes = [...set.querySelectorAll(".column")];
  const show = (changed, isShown) => {
    table.columns(changed.map((box) => Number(box.dataset.column))).visible(isShown, false);
    for (const box of changed) box.checked = isShown;
    const shown = boxes.filter((box) => box.checked).length;
    group.checked = shown > 0;
    group.indeterminate = shown > 0 && shown < boxes.length;
  };
  group.addEventListener("change", () => show(boxes, group.checked));
  for (const box of boxes) box.addEventListener("change", () => show([box], box.checked));
}
