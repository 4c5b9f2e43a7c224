
// Charts. Each says what can be chosen, and makes of a choice a caption, rows and a specification.
const element = (tag, text, parent) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
};
const range = (values) => [Math.min(...values), Math.max(...values)];
const label = (axis) => axis.label;
const rounded = (x) => (x === null ? "–" : Number(x.toPrecision(4)).toString());
const copy = (name) => structuredClone(data.specs[name]);

// Labels on one side of their points keep a line's height between them.
const spread = (points) => {
  const [low, high] = points.length ? range(points.map((point) => point.quality)) : [0, 1];
  const last = { true: Infinity, false: Infinity };
  for (const point of [...points].sort((a, b) => b.quality - a.quality)) {
    point.height = point.quality;
    if (!point.label) continue;
    point.height = Math.min(point.quality, last[point.right] - 0.06 * (high - low));
    last[point.right] = point.height;
  }
};

const CHARTS = {
  heat: {
    choices: [["Test set", (x) => x.map((e) => e.title)], ["Model", (_, e) => e.models]],
    make: (entry, [, model]) => {
      const cells = entry.pairs.map(([q, p], n) => ({
        query: entry.queries[q], passage: entry.passages[p], value: entry.values[model][n],
      })).filter((cell) => cell.value !== null);
      const all = entry.values.flat().filter((x) => x !== null);
      const [low, high] = [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
      for (const cell of cells) {
        cell.spoken = `${cell.query} to ${cell.passage}: ${rounded(cell.value)}`;
        cell.ink = cell.value - low > 0.43 * (high - low) ? "#000" : "#fff";
      }
      const spec = copy("heat");
      spec.encoding.x.scale.domain = entry.passages;
      spec.encoding.y.scale.domain = entry.queries;
      spec.layer[0].encoding.color.scale.domain = [low, high > low ? high : low + 1];
      cells.sort((a, b) => b.value - a.value);
      const name = (cell) => `${cell.query} → ${cell.passage} (${rounded(cell.value)})`;
      const ends = cells.length ? `; best ${name(cells[0])}, worst ${name(cells.at(-1))}` : "";
      return {
        spec,
        rows: cells,
        caption: `${entry.measure} of ${entry.models[model]} on ${entry.title}: ${cells.length} `
          + `pairs, query → passage language${ends}. Yellow is high and purple is low, on one scale for all models.`,
        head: ["Query language", "Passage language", entry.measure],
        cells: cells.map((cell) => [cell.query, cell.passage, rounded(cell.value)]),
      };
    },
  },
  scatter: {
    choices: [
      ["Test set", (x) => x.map((e) => e.title)],
      ["Quality", (_, e) => e.quality.map(label)],
      ["Bias", (_, e) => e.bias.map(label)],
    ],
    make: (entry, [, up, across]) => {
      const [quality, bias] = [entry.quality[up], entry.bias[across]];
      const sign = bias.better === "lower" ? 1 : -1;
      const points = entry.models.map((model, n) => ({
        model, quality: quality.values[n], bias: bias.values[n],
      })).filter((point) => point.quality !== null && point.bias !== null);
      const beats = (a, b) => a.quality >= b.quality && sign * a.bias <= sign * b.bias
        && (a.quality > b.quality || a.bias !== b.bias);
      const isFew = points.length <= 8;
      const [low, high] = points.length ? range(points.map((point) => point.bias)) : [0, 1];
      const middle = bias.log ? Math.sqrt(low * high) : (low + high) / 2;
      for (const point of points) {
        point.best = !points.some((other) => beats(other, point));
        point.kind = isFew ? point.model : point.best ? "best" : "other";
        point.label = isFew || point.best ? point.model : "";
        point.spoken = `${point.model}: ${quality.label} ${rounded(point.quality)}, `
          + `${bias.label} ${rounded(point.bias)}`;
        point.right = point.bias > middle;
      }
      spread(points);
      const spec = copy("scatter");
      spec.encoding.x.title = bias.label + (bias.log ? ", log scale" : "");
      if (bias.log) spec.encoding.x.scale = { type: "log", nice: false, padding: 24 };
      spec.layer[1].mark.limit = spec.layer[2].mark.limit = 0.35 * find("scatter").clientWidth;
      spec.encoding.y.title = quality.label;
      const mark = spec.layer[0].encoding;
      mark.shape.scale.domain = mark.color.scale.domain = isFew ? entry.models : ["best", "other"];
      [mark.tooltip[1].title, mark.tooltip[2].title] = [quality.label, bias.label];
      const best = points.filter((point) => point.best).map((point) => point.model);
      return {
        spec,
        rows: points,
        caption: `${quality.label} against ${bias.label} of ${points.length} models on ${entry.title}. `
          + `No other model is better in both than: ${best.join(", ")}.`
          + (isFew ? "" : " These are circles with names, the others squares."),
        head: ["Model", quality.label, bias.label],
        cells: points.map((point) => [point.model, rounded(point.quality), rounded(point.bias)]),
      };
    },
  },
  bars: {
    choices: [
      ["Test set", (x) => x.map((e) => e.title)],
      ["Model", (_, e) => e.models],
      ["Query language", (_, e) => e.queries],
    ],
    make: (entry, [, model, query]) => {
      const asked = entry.queries[query];
      const bars = entry.languages.map((language, n) => ({
        language, share: entry.values[model][query][n], own: language === asked,
      })).filter((bar) => bar.share !== null);
      for (const bar of bars) {
        bar.text = bar.share.toFixed(3) + (bar.own ? " – the query's own" : "");
        bar.spoken = `${bar.language}: ${bar.text}`;
      }
      const spec = copy("bars");
      spec.height = 24 * bars.length;
      const highest = Math.max(...bars.map((bar) => bar.share), 0);
      spec.layer[0].encoding.x.scale.domain = [0, Math.min(1, highest * 1.3) || 1];
      return {
        spec,
        rows: bars,
        caption: `${entry.title}: shares of ${entry.models[model]}, query language ${asked}. `
          + `Equal shares of ${entry.languages.length} languages would be ${rounded(1 / entry.languages.length)} each.`,
        head: ["Language", "Share"],
        cells: bars.map((bar) => [bar.language, rounded(bar.share)]),
      };
    },
  },
};

const fillTable = (parent, head, cells) => {
  const made = document.createElement("table");
  const top = element("tr", undefined, element("thead", undefined, made));
  for (const name of head) element("th", name, top).scope = "col";
  const body = element("tbody", undefined, made);
  for (const [first, ...rest] of cells) {
    const row = element("tr", undefined, body);
    element("th", first, row).scope = "row";
    for (const text of rest) element("td", text, row);
  }
  parent.replaceChildren(made);
};

const draw = async (figure, key, state) => {
  const chart = CHARTS[key];
  const { spec, rows, caption, head, cells } = chart.make(data[key][state[0]], state);
  figure.querySelector("figcaption").textContent = caption;
  fillTable(figure.querySelector("details .scroll"), head, cells);
  figure.view?.finalize();
  spec.description = caption;
  spec.data = { values: rows };
  // The interpreter instead of compiled expressions: the page allows no eval.
  const options = { ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: false };
  figure.view = await vegaEmbed(figure.querySelector(".plot"), spec, options);
};

for (const [key, chart] of Object.entries(CHARTS)) {
  const figure = find(key);
  if (!figure) continue;
  const entries = data[key];
  const state = chart.choices.map(() => 0);
  const selects = chart.choices.map(([name]) => {
    const made = element("label", name, figure.querySelector(".choices"));
    return element("select", undefined, made);
  });
  const fill = (from) => chart.choices.forEach(([, options], n) => {
    if (n < from) return;
    const names = options(entries, entries[state[0]]);
    selects[n].replaceChildren(...names.map((name, value) => new Option(name, value)));
    state[n] = state[n] < names.length ? state[n] : 0;
    selects[n].value = state[n];
    selects[n].parentElement.hidden = names.length < 2;
  });
  selects.forEach((select, n) => select.addEventListener("change", () => {
    state[n] = Number(select.value);
    if (n === 0) fill(1);
    draw(figure, key, state);
  }));
  fill(0);
  await draw(figure, key, state);
}
document.documentElement.dataset.ready = "yes";
