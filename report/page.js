"use strict";
// Tables of class "sortable" get buttons in their headers, a filter, and at first show no more than 20 rows. Without this script
// they show all. Nothing here asks a network, and nothing writes HTML.
(() => {
  const most = 20;
  const few = 5; // to see at a glance
  const make = (tag, properties, ...children) => {
    const e = Object.assign(document.createElement(tag), properties);
    e.append(...children);
    return e;
  };
  // The key of a cell: what a time says to machines, a number, or its first line of text.
  const keyOf = (cell, numeric) => {
    const time = cell.querySelector(":scope > time");
    if (time) return time.dateTime;
    const text = (cell.querySelector(":scope > code") || cell).textContent.trim();
    if (!numeric) return text;
    const number = parseFloat(text.replaceAll(",", "").replace(/^[<>~]\s*/, ""));
    return Number.isNaN(number) ? -Infinity : number;
  };
  const enhance = (table) => {
    const body = table.tBodies[0];
    const headers = [...table.tHead.rows[0].cells];
    const title = table.dataset.what;
    const rows = [...body.rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));
    let shown = most;
    let by = -1;
    let up = true;

    const input = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    const status = make("output", {});
    const all = make("button", { type: "button", className: "all", onclick: () => { shown = Infinity; show(); } });
    const select = make("select", {}, ...headers.map((th, i) => make("option", { value: i }, th.textContent.trim())));
    const turn = make("button", { type: "button" }, "Turn round");
    const bar = make("div", { className: "tools" },
      make("label", {}, "Filter " + title + " ", input),
      make("label", { className: "narrow-only" }, "Sort by ", select), make("span", { className: "narrow-only" }, turn), status);
    if (rows.length > few) table.before(bar);
    table.after(all);

    const show = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let found = 0;
      for (const r of rows) {
        const match = words.every((w) => r.text.includes(w));
        if (match) found++;
        r.row.hidden = !match || found > shown;
      }
      const visible = Math.min(found, shown);
      status.value = words.length || visible < found ? visible.toLocaleString("en") + " of " + rows.length.toLocaleString("en") + " shown" : "";
      if (words.length && visible < found) status.value += ", " + found.toLocaleString("en") + " found";
      all.hidden = visible === found;
      all.textContent = "Show all " + found.toLocaleString("en");
    };
    const sort = (column) => {
      const numeric = headers[column].classList.contains("number");
      up = column === by ? !up : !numeric; // numbers begin with the largest
      by = column;
      for (const r of rows) r.key = keyOf(r.row.cells[column], numeric);
      const sign = up ? 1 : -1;
      rows.sort((a, b) => sign * (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
      headers.forEach((th, i) => {
        if (i === column) th.setAttribute("aria-sort", up ? "ascending" : "descending");
        else th.removeAttribute("aria-sort");
      });
      select.value = column;
      body.append(...rows.map((r) => r.row));
      show();
    };
    headers.forEach((th, i) => {
      const button = make("button", { type: "button", onclick: () => sort(i) }, th.textContent.trim());
      th.replaceChildren(button);
    });
    input.addEventListener("input", show);
    select.addEventListener("change", () => sort(Number(select.value)));
    turn.addEventListener("click", () => sort(by < 0 ? Number(select.value) : by));
    show();
  };
  for (const table of document.querySelectorAll("table.sortable")) enhance(table);
})();
