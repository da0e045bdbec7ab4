// The ranking of the scores page: draws rows from the page's data in the likeness of the first one, which
// the report wrote, shows those that fit the filters, and keeps the filters in the address.
(() => {
  "use strict";
  const page = JSON.parse(document.getElementById("data").textContent);
  const { words, names, values, classes } = page;
  const list = document.querySelector(".calls");
  const written = [...list.children];
  if (!written.length) return;
  const blank = written[0].cloneNode(true);
  const blankDetail = blank.querySelector(".detail");
  blankDetail.replaceWith(Object.assign(document.createElement("div"), { className: "detail" }));
  const step = 50;

  const say = (key, filled) => words[key].replace(/{(\w+)}/g, (_, name) => filled[name]);
  const percent = (share) => (share === null ? "–" : say("percent", { share }));
  const grouped = (number) => number.toLocaleString("en");
  const clock = (seconds) => {
    const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    const two = (n) => String(n).padStart(2, "0");
    return (h ? h + ":" : "") + two(m) + ":" + two(s);
  };
  const trend = (change) =>
    change === null ? "" : words[Math.abs(change) < 10 ? "steady" : change > 0 ? "rising" : "falling"];
  const signed = (change) => (change < 0 ? "\u2212" : "+") + (Math.abs(change) / 100).toFixed(2);
  const course = (change) => (change === null ? "–" : trend(change) + " (" + signed(change) + ")");

  const readLeg = ([leg, speech, negativity, change, confidence, uncertain, emotion, start, end, share, score]) =>
    ({ leg, speech, negativity, change, confidence, uncertain, emotion, start, end, share, score });

  const calls = page.calls.map(
    ([id, place, agent, date, duration, confidence, sound, worst, legs, segments], index) => ({
      id, uri: typeof place === "number" ? page.heads[place] + id : place, agent, date, duration, confidence, sound, segments, rank: index + 1,
      legs: legs.map(readLeg), worst: readLeg(legs[worst]), item: written[index],
    }));

  const reason = ({ worst }) => [
    say("reason_who", { leg: names.leg[worst.leg], emotion: names.emotion[worst.emotion] }),
    [say("reason_span", { start: clock(worst.start), end: clock(worst.end) }),
      say("reason_share", { share: percent(worst.share) }), trend(worst.change)].filter(Boolean).join(", "),
  ];
  const about = (call) => [
    values.agent[call.agent] !== null && say("call_of", { agent: names.agent[call.agent] }),
    names.date.length > 1 && values.date[call.date] !== null && names.date[call.date],
  ].filter(Boolean).join(" · ");

  const shape = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  };
  const across = (part, whole) => (100 * part / whole).toFixed(2) + "%";

  // As `timeline.py` draws it.
  const [BAND, LABEL, AXIS, FAINTEST, TICKS] = [22, 20, 20, 0.35, 8];
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
  const HEIGHT = LABEL + BAND + 10;

  const axis = (length, height) => {
    const group = shape("g", { class: "axis" });
    const gap = STEPS.find((seconds) => length / seconds <= TICKS) || STEPS.at(-1);
    for (let n = 0; n * gap <= length; n++) {
      const x = across(n * gap, length);
      group.append(shape("line", { x1: x, x2: x, y1: LABEL, y2: height - AXIS + 4 }));
      const kind = n === 0 ? "first" : n % 2 ? "minor" : "major";
      if (n * gap < 0.96 * length) group.append(shape("text", { class: kind, x, y: height - 4 }, clock(n * gap)));
    }
    return group;
  };

  const segmentShape = ({ start, end, emotion, confidence }, length) => {
    const sure = Math.abs(confidence);
    const rect = shape("rect", {
      class: classes[emotion] + (confidence < 0 ? " unsure" : ""), x: across(start, length),
      width: across(end - start, length), height: BAND, opacity: (FAINTEST + (1 - FAINTEST) * sure / 100).toFixed(2),
    });
    rect.append(shape("title", {}, say(confidence < 0 ? "segment_unsure" : "segment", {
      emotion: names.emotion[emotion], share: percent(sure),
      start: clock(Math.round(start)), end: clock(Math.round(end)),
    })));
    return rect;
  };

  const band = (leg, top, segments, worst, length) => {
    const label = shape("text", { class: "leg", y: top + 12 }, names.leg[leg.leg] + " ");
    label.append(shape("tspan", {}, leg.negativity === null
      ? words.leg_silent : say("leg_negative", { share: percent(leg.negativity) })));
    const group = shape("g", { transform: "translate(0 " + (top + LABEL) + ")" });
    group.append(shape("rect", { class: "track", width: "100%", height: BAND, rx: 3 }));
    group.append(...segments.filter((s) => s.leg === leg.leg).map((s) => segmentShape(s, length)));
    if (worst.leg === leg.leg) {
      group.append(shape("rect", { class: "worst", x: across(worst.start, length),
        width: across(worst.end - worst.start, length), y: -3, height: BAND + 6, rx: 3 }));
    }
    return [label, group];
  };

  const timeline = (call) => {
    const segments = [];
    for (let n = 0; n < call.segments.length; n += 5) {
      const [leg, start, span, emotion, confidence] = call.segments.slice(n, n + 5);
      segments.push({ leg, start: start / 10, end: (start + span) / 10, emotion, confidence });
    }
    const length = Math.max(call.duration, ...segments.map(({ end }) => end)) || 1;
    const legs = [...call.legs].sort((a, b) => (values.leg[a.leg] < values.leg[b.leg] ? -1 : 1));
    const height = legs.length * HEIGHT + AXIS;
    const svg = shape("svg", { class: "timeline", role: "img", width: "100%", height, "aria-label":
      say("timeline", { call: call.id, length: clock(Math.round(length)), reason: reason(call).join(" ") }) });
    svg.append(axis(length, height));
    legs.forEach((leg, row) => svg.append(...band(leg, row * HEIGHT, segments, call.worst, length)));
    return svg;
  };

  const cells = (leg) => [
    clock(leg.speech), percent(leg.negativity), course(leg.change), percent(leg.confidence),
    ...(page.uncertain ? [percent(leg.uncertain)] : []),
    leg.score === undefined ? "–" : say("stretch", { emotion: names.emotion[leg.emotion],
      start: clock(leg.start), end: clock(leg.end), share: percent(leg.share) }),
    leg.score === undefined ? "–" : leg.score.toFixed(1),
  ];

  const note = (text) => Object.assign(document.createElement("p"), { className: "source", textContent: text });

  const detailOf = (call) => {
    const detail = blankDetail.cloneNode(true);
    const found = (selector) => detail.querySelector(selector);
    found(".timeline").replaceWith(
      call.segments.length ? timeline(call) : note(say("no_timeline", { top: page.top })));
    const caption = say("legs_of", { call: call.id });
    found(".scroll").setAttribute("aria-label", caption);
    found("caption").textContent = caption;
    const body = found("tbody");
    const row = body.firstElementChild;
    body.replaceChildren(...call.legs.map((leg) => {
      const filled = row.cloneNode(true);
      [names.leg[leg.leg], ...cells(leg)].forEach((text, n) => { filled.children[n].textContent = text; });
      return filled;
    }));
    found(".source bdi").textContent = call.uri;
    found(".source span").textContent = page.sounds[call.sound];
    return detail;
  };

  const draw = (call) => {
    const item = blank.cloneNode(true);
    const found = (selector) => item.querySelector(selector);
    const { worst } = call;
    item.id = "call-" + call.rank;
    item.firstElementChild.open = false;
    found(".rank").textContent = call.rank;
    found(".swatch").setAttribute("class", "swatch " + classes[worst.emotion]);
    const [who, why] = reason(call);
    found(".why b").textContent = who;
    found(".why b").nextSibling.data = " " + why;
    found(".call-id bdi").textContent = call.id;
    found(".about").textContent = about(call);
    const length = Math.max(call.duration, worst.end) || 1;
    const width = Math.max(100 * (worst.end - worst.start) / length, 2.5);
    const place = found(".locator rect:last-child");
    place.setAttribute("class", classes[worst.emotion]);
    place.setAttribute("x", Math.min(100 * worst.start / length, 100 - width).toFixed(2) + "%");
    place.setAttribute("width", width.toFixed(2) + "%");
    const numbers = { score: worst.score.toFixed(1), confidence: percent(call.confidence), duration: clock(call.duration) };
    for (const [name, text] of Object.entries(numbers)) found("." + name).lastChild.data = " " + text;
    item.firstElementChild.addEventListener(
      "toggle", () => found(".detail").replaceWith(detailOf(call)), { once: true });
    return item;
  };

  const bar = document.querySelector(".filter");
  const [input, output] = ["input", "output"].map((tag) => bar.querySelector(tag));
  const unfold = bar.querySelector(".unfold");
  const more = document.querySelector(".more");
  const selects = [...bar.querySelectorAll("select")];
  const value = { agent: (c) => c.agent, leg: (c) => c.worst.leg, emotion: (c) => c.worst.emotion, date: (c) => c.date };
  let limit = step;

  const found = () => {
    const chosen = selects.filter((select) => select.value).map((s) => [value[s.dataset.filter], Number(s.value)]);
    const typed = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    return calls.filter((call) => {
      if (!chosen.every(([of, number]) => of(call) === number)) return false;
      if (!typed.length) return true;
      call.text ??= [...reason(call), call.id, about(call)].join(" ").toLowerCase();
      return typed.every((word) => call.text.includes(word));
    });
  };

  const columns = { agent: "agent", leg: "worst_leg", emotion: "worst_emotion", date: "date" };
  const writeQuery = () => {
    const conditions = selects.filter((select) => select.value).map(({ dataset: { filter }, value: number }) => {
      const name = values[filter][number];
      return "  AND " + columns[filter] + (name === null ? " IS NULL" : " = '" + name.replaceAll("'", "''") + "'");
    });
    const [chosen, rows, order] = page.query;
    document.getElementById("query").textContent = [chosen, rows, ...conditions, order].join("\n");
  };

  const writeAddress = () => {
    const state = new URLSearchParams();
    for (const select of selects) {
      if (select.value) state.set(select.dataset.filter, values[select.dataset.filter][select.value] ?? "");
    }
    if (input.value.trim()) state.set("search", input.value.trim());
    history.replaceState(null, "", String(state) ? "#" + state : location.pathname + location.search);
  };

  const readAddress = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const select of selects) {
      const name = state.get(select.dataset.filter);
      const number = name === null ? -1 : values[select.dataset.filter].indexOf(name || null);
      select.value = number < 0 ? "" : number;
    }
    input.value = state.get("search") ?? "";
  };

  const show = () => {
    const fitting = found();
    const shown = fitting.slice(0, limit);
    const open = unfold.getAttribute("aria-pressed") === "true";
    list.replaceChildren(...shown.map((call) => (call.item ??= draw(call))));
    if (open) for (const call of shown) call.item.firstElementChild.open = true;
    const counts = { shown: grouped(shown.length), found: grouped(fitting.length), all: grouped(calls.length) };
    const filtered = selects.some((select) => select.value) || input.value.trim();
    output.value = fitting.length ? say(filtered ? "count_found" : "count_all", counts) : words.count_none;
    const left = Math.min(step, fitting.length - shown.length);
    more.hidden = left <= 0;
    more.textContent = say("more", { n: grouped(left) });
  };

  const filter = () => {
    limit = step;
    show();
    writeQuery();
    writeAddress();
  };

  input.addEventListener("input", filter);
  selects.forEach((select) => select.addEventListener("change", filter));
  bar.querySelector(".clear").addEventListener("click", () => {
    for (const control of [input, ...selects]) control.value = "";
    filter();
  });
  unfold.addEventListener("click", () => {
    const open = unfold.getAttribute("aria-pressed") === "false";
    unfold.setAttribute("aria-pressed", open);
    for (const item of list.children) item.firstElementChild.open = open;
  });
  more.addEventListener("click", () => {
    const first = list.children.length;
    limit += step;
    show();
    list.children[first].querySelector("summary").focus();
  });
  bar.hidden = calls.length < 2;
  readAddress();
  show();
  writeQuery();
})();
