"use strict";
// The data set's clips come from index.data.js as GALLERY: a page that is opened as a file may not fetch anything.
(() => {
  const { pictures, columns, strip, clips } = window.GALLERY;
  const $ = (id) => document.getElementById(id);
  const shown = (value) => (value === null ? "n/a" : String(value).replace("-", "−"));
  const named = (column) => column.replaceAll("_", " ");

  // ---- cards

  const grid = $("grid");
  const cards = clips.map((clip, place) => {
    const card = $("card").content.firstElementChild.cloneNode(true);
    const link = card.querySelector(".open");
    card.querySelector("b").textContent = clip.id;
    card.dataset.place = place;
    const facts = [clip.emotion];
    if (clip.status === "ok") {
      const images = card.querySelectorAll("img");
      Object.entries(pictures).forEach(([stem, label], k) => {
        images[k].src = `${clip.folder}/${stem}.png`;
        images[k].alt = `${label} of ${clip.id}`;
      });
      link.href = clip.frames ? clip.sheet : images[0].src;
      if (clip.frames) facts.push(`${clip.frames} frames`);
      if (clip.frames && clip.fps !== null) facts.push(`${clip.fps} fps`);
      if (clip.frames) facts.push(`apex ${clip.apex} (${clip.apex_source})`);
    } else {
      card.classList.add("rejected");
      card.querySelector(".pair").remove();
      facts.push(`rejected: ${clip.code}`);
      card.querySelector(".value").textContent = clip.reason;
    }
    card.querySelector(".quiet").textContent = facts.join(" · ");
    return card;
  });
  grid.append(...cards);
  grid.addEventListener("click", (event) => {
    const link = event.target.closest("a.open[href]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const place = Number(link.closest(".clip").dataset.place);
    if (!clips[place].frames) return; // nothing to scrub through: the link shows the image
    event.preventDefault();
    open(place);
  });

  // ---- which clips, in which order

  const controls = document.querySelector(".controls");
  const number = (clip, by) => {
    if (clip.status !== "ok") return null;
    return by === "frames" ? clip.frames : clip.numbers[columns.indexOf(by)];
  };
  let visible = [];
  let laid = null; // the order that the cards stand in: laying out a thousand again takes longer than hiding some

  function arrange() {
    const [subject, emotion, status, by] = ["subject", "emotion", "status", "sort"].map((id) => $(id).value);
    const direction = Number($("direction").value);
    const order = clips.map((_, place) => place);
    if (by) {
      const values = clips.map((clip) => number(clip, by));
      order.sort((a, b) => {
        const [x, y] = [values[a], values[b]];
        if (x === null || y === null) return (x === null) - (y === null) || a - b; // without a number: last
        return direction * (x - y) || a - b;
      });
    } else if (direction < 0) {
      order.reverse();
    }
    visible = [];
    for (const place of order) {
      const clip = clips[place];
      const wanted =
        (!subject || clip.subject === subject) &&
        (!emotion || clip.emotion === emotion) &&
        (!status || clip.status === status);
      cards[place].hidden = !wanted;
      if (wanted) visible.push(place);
      if (clip.status === "ok") {
        const value = by && by !== "frames" ? `${named(by)} ${shown(number(clip, by))}` : "";
        cards[place].querySelector(".value").textContent = value;
      }
    }
    const key = order.join();
    if (laid !== null && laid !== key) grid.replaceChildren(...order.map((place) => cards[place]));
    laid = key;
    $("count").textContent = `${visible.length} of ${clips.length} clips`;
  }
  controls.addEventListener("change", arrange);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("reset", () => setTimeout(arrange));

  // ---- one clip

  const viewer = $("viewer");
  let clip = null;
  let frame = 0;
  let timer = null;

  function open(place) {
    clip = clips[place];
    $("title").textContent = clip.id;
    const facts = [clip.emotion, clip.units && `AU ${clip.units}`, `${clip.frames} frames`];
    facts.push(clip.fps === null ? "fps unknown" : `${clip.fps} fps`);
    $("facts").textContent = [...facts, ...clip.notes].filter(Boolean).join(" · ");
    $("sheet").src = $("sheet-link").href = clip.sheet;
    $("sheet").alt = `Contact sheet of ${clip.id}: onset, apex, offset, flow, both dynamic images, intensity curve`;
    tellMotion();
    $("scrubber").max = clip.frames - 1;
    $("numbers").replaceChildren(
      ...columns.map((name, k) => {
        const line = document.createElement("div");
        const [term, value] = ["dt", "dd"].map((tag) => line.appendChild(document.createElement(tag)));
        term.textContent = named(name);
        value.textContent = shown(clip.numbers[k]);
        return line;
      }),
    );
    drawCurve();
    play(false);
    show(0);
    for (const [id, step] of [["previous", -1], ["next", 1]]) $(id).disabled = neighbour(step) === null;
    if (!viewer.open) {
      viewer.showModal();
      $("scrubber").focus();
    }
    viewer.scrollTop = 0;
    history.replaceState(null, "", `#${encodeURIComponent(clip.id)}`);
  }

  function tellMotion() {
    const moved = clip.moved;
    $("moved").hidden = !moved;
    if (!moved) return;
    const units = moved.candidates ? ` Candidate action units (a guess, with its probability): ${moved.candidates}.` : "";
    const still = `${moved.lines.length} regions stand above their own noise, ${moved.still} do not.`;
    $("moved-words").textContent = still + units;
    $("moved-lines").replaceChildren(
      ...moved.lines.map((line) => {
        const row = document.createElement("tr");
        for (const name of ["region", "moved", "direction", "times", "more", "noise"]) {
          const cell = row.appendChild(document.createElement("td"));
          cell.textContent = line[name];
          if (name === "direction") cell.className = "text";
        }
        return row;
      }),
    );
    $("moved").querySelector("table").hidden = !moved.lines.length;
    $("moved-picture").src = $("moved-link").href = moved.picture;
    $("moved-picture").alt = `What moved in ${clip.id}: the face with arrows, and the time course of every region`;
  }

  function neighbour(step) {
    const usable = visible.filter((place) => clips[place].frames);
    const at = usable.findIndex((place) => clips[place] === clip) + step;
    return at >= 0 && at < usable.length ? usable[at] : null;
  }

  function turn(step) {
    const place = neighbour(step);
    if (place !== null) open(place);
  }

  function show(t) {
    frame = Math.min(Math.max(t, 0), clip.frames - 1);
    const file = Math.floor(frame / strip.frames);
    const within = frame % strip.frames;
    const rows = Math.ceil(Math.min(strip.frames, clip.frames - file * strip.frames) / strip.columns);
    const percent = (k, n) => `${n > 1 ? (100 * k) / (n - 1) : 0}%`;
    const style = $("frame").style;
    style.backgroundImage = `url("${clip.strips}/${file}.jpg")`;
    style.backgroundSize = `${strip.columns * 100}% ${rows * 100}%`;
    style.backgroundPosition =
      `${percent(within % strip.columns, strip.columns)} ${percent(Math.floor(within / strip.columns), rows)}`;
    const names = [[0, "onset"], [clip.apex, "apex"], [clip.frames - 1, "offset"]];
    const event = names.filter(([at]) => at === frame).map(([, name]) => ` (${name})`).join("");
    const time = clip.fps === null ? "" : ` · ${((1000 * frame) / clip.fps).toFixed(0)} ms`;
    const text = `frame ${frame} of 0–${clip.frames - 1}${event}${time} · intensity ${shown(clip.curve[frame])} px`;
    $("frame").dataset.frame = frame;
    $("frame").setAttribute("aria-label", `Aligned face, frame ${frame}${event}`);
    $("readout").textContent = text;
    $("scrubber").value = frame;
    $("scrubber").setAttribute("aria-valuetext", text);
    const now = document.querySelector("#curve .now");
    now.style.left = `${100 * across(frame)}%`;
    now.style.setProperty("--y", `${100 * down(clip.curve[frame])}%`);
  }

  // Places on the curve, 0 to 1 of its width and height.
  const across = (t) => (clip.frames > 1 ? t / (clip.frames - 1) : 0.5);
  const down = (value) => 1 - value / (1.1 * Math.max(...clip.curve, clip.floor ?? 0, 0.05));

  function drawCurve() {
    const svg = (tag, attributes) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
      return node;
    };
    const label = (text, t, kind = "") => {
      const node = document.createElement("span");
      node.textContent = text;
      node.className = kind || (across(t) < 0.12 ? "first" : across(t) > 0.88 ? "last" : "");
      if (kind !== "top") node.style.left = `${100 * across(t)}%`;
      return node;
    };
    const picture = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const t of [0, clip.apex, clip.frames - 1])
      picture.append(svg("line", { x1: across(t), x2: across(t), y1: 0, y2: 1, class: "event" }));
    if (clip.floor !== null)
      picture.append(svg("line", { x1: 0, x2: 1, y1: down(clip.floor), y2: down(clip.floor), class: "floor" }));
    const points = clip.curve.map((value, t) => `${across(t).toFixed(5)},${down(value).toFixed(5)}`);
    picture.append(svg("polyline", { points: points.join(" ") }));
    const now = document.createElement("div");
    now.className = "now";
    const ends = [[0, "onset"], [clip.frames - 1, "offset"]];
    const free = ends.filter(([t]) => Math.abs(across(t) - across(clip.apex)) > 0.12);
    const labels = [...free, [clip.apex, `apex (${clip.apex_source})`]].map(([t, text]) => label(text, t));
    const noise = clip.floor === null ? "" : `; dotted: noise ${shown(clip.floor)}`;
    const top = label(`motion intensity, largest ${shown(Math.max(...clip.curve))} px${noise}`, 0, "top");
    $("curve").replaceChildren(picture, now, top, ...labels);
  }

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => show((frame + 1) % clip.frames), 80) : null;
    $("play").setAttribute("aria-pressed", String(on));
    $("play").textContent = on ? "pause" : "play slowly";
  }

  function point(event) {
    const box = $("curve").getBoundingClientRect();
    play(false);
    show(Math.round(((event.clientX - box.left) / box.width) * (clip.frames - 1)));
  }

  $("scrubber").addEventListener("input", () => {
    play(false);
    show(Number($("scrubber").value));
  });
  $("curve").addEventListener("pointerdown", (event) => {
    $("curve").setPointerCapture(event.pointerId);
    point(event);
  });
  $("curve").addEventListener("pointermove", (event) => event.buttons && point(event));
  $("play").addEventListener("click", () => play(timer === null));
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  $("close").addEventListener("click", () => viewer.close());
  for (const button of document.querySelectorAll("[data-jump]"))
    button.addEventListener("click", () => {
      play(false);
      show({ onset: 0, apex: clip.apex, offset: clip.frames - 1 }[button.dataset.jump]);
    });
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close()); // beside the box
  viewer.addEventListener("close", () => {
    play(false);
    history.replaceState(null, "", " ");
    const link = cards[clips.indexOf(clip)].querySelector("a.open");
    link.focus(); // also after turning to another clip
    link.scrollIntoView({ block: "nearest" });
  });
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const jump = { Home: 0, End: clip.frames - 1 }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || (step === undefined && jump === undefined)) return;
    event.preventDefault(); // the range would step a second time
    play(false);
    if (jump !== undefined) show(jump);
    else if (event.shiftKey) turn(step);
    else show(frame + step);
  });

  arrange();
  const asked = clips.findIndex((c) => `#${encodeURIComponent(c.id)}` === location.hash && c.frames);
  if (asked >= 0) open(asked);
})();
