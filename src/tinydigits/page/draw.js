// The page: drawing with any pointer, the answer while drawing, and what the model saw.
"use strict";

(() => {
  if (typeof document === "undefined") return; // Node asks the network alone
  const $ = (id) => document.getElementById(id);
  const pad = $("pad"), paper = pad.getContext("2d");
  const SIDE = 280; // the drawing is put before the model in this size, whatever the screen's
  const PEN = 0.075; // the pen's width, as a share of the side
  const sheet = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const sheetPaper = sheet.getContext("2d", { willReadFrequently: true });
  const models = JSON.parse($("models").textContent);
  const loaded = new Map();
  const STEP = 0.025; // the way of the keyboard's pen at each key
  let strokes = [], stroke = null, pointer = null, spot = null;
  let opened = null, model = null, isAsked = false, answer = null;

  // ---- drawing ----

  function drawStrokes(context, side, color) {
    context.strokeStyle = context.fillStyle = color;
    context.lineCap = context.lineJoin = "round";
    for (const points of strokes) {
      if (points.length === 1) {
        context.beginPath();
        context.arc(points[0].x * side, points[0].y * side, (points[0].width * side) / 2, 0, 2 * Math.PI);
        context.fill();
      }
      for (let i = 1; i < points.length; i++) {
        context.lineWidth = points[i].width * side;
        context.beginPath();
        context.moveTo(points[i - 1].x * side, points[i - 1].y * side);
        context.lineTo(points[i].x * side, points[i].y * side);
        context.stroke();
      }
    }
  }

  function drawOpened(context, side) {
    const scale = side / Math.max(opened.width, opened.height);
    const width = opened.width * scale, height = opened.height * scale;
    context.drawImage(opened, (side - width) / 2, (side - height) / 2, width, height);
  }

  /** Where the keyboard's pen is: a ring while it is lifted. */
  function drawSpot(side) {
    paper.strokeStyle = paper.fillStyle = getComputedStyle($("digit")).getPropertyValue("--accent");
    paper.lineWidth = Math.max(2, side / 150);
    paper.beginPath();
    paper.arc(spot.x * side, spot.y * side, (PEN * side) / 2, 0, 2 * Math.PI);
    if (stroke) paper.fill();
    else paper.stroke();
  }

  function redraw() {
    const side = Math.max(1, Math.round(pad.clientWidth * devicePixelRatio));
    if (pad.width !== side) pad.width = pad.height = side;
    paper.clearRect(0, 0, side, side);
    if (opened) drawOpened(paper, side);
    drawStrokes(paper, side, getComputedStyle(pad).color);
    if (spot) drawSpot(side);
    const isEmpty = !strokes.length && !opened;
    $("hint").hidden = !isEmpty || Boolean(spot);
    $("undo").disabled = $("clear").disabled = isEmpty;
    askSoon();
  }

  function addPoint(event) {
    const box = pad.getBoundingClientRect();
    const isPen = event.pointerType === "pen" && event.pressure > 0;
    const width = PEN * (isPen ? 0.6 + 0.8 * event.pressure : 1);
    stroke.push({ x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height, width });
  }

  pad.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button > 0) return; // a second finger, or another button
    pointer = event.pointerId;
    pad.setPointerCapture(pointer);
    opened = spot = null;
    stroke = [];
    strokes.push(stroke);
    addPoint(event);
    redraw();
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const all = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const one of all.length ? all : [event]) addPoint(one);
    redraw();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    pad.addEventListener(name, (event) => {
      if (event.pointerId === pointer) pointer = stroke = null;
    });
  }
  pad.addEventListener("touchmove", (event) => event.preventDefault(), { passive: false });

  pad.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if ((!move && event.key !== " ") || event.ctrlKey || event.metaKey || event.altKey || pointer !== null) return;
    event.preventDefault();
    spot ??= { x: 0.5, y: 0.5, width: PEN };
    if (move) {
      const [x, y] = [spot.x + STEP * move[0], spot.y + STEP * move[1]].map((at) => Math.min(Math.max(at, 0), 1));
      spot = { x, y, width: PEN };
    } else if (stroke) {
      stroke = null;
    } else {
      opened = null;
      strokes.push((stroke = []));
    }
    if (stroke) stroke.push(spot);
    redraw();
  });
  pad.addEventListener("blur", () => {
    if (pointer === null) stroke = spot = null;
    redraw();
  });

  function undo() {
    if (pointer !== null) return;
    stroke = null;
    if (opened) opened = null;
    else strokes.pop();
    redraw();
  }
  function clear() {
    if (pointer !== null) return;
    strokes = [];
    opened = stroke = null;
    redraw();
  }
  $("undo").addEventListener("click", undo);
  $("clear").addEventListener("click", clear);
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") undo();
    else if (["Escape", "Delete"].includes(event.key) && event.target.tagName !== "SELECT") clear();
    else return;
    event.preventDefault();
  });

  async function open(file) {
    try {
      opened = await createImageBitmap(file);
      strokes = [];
      redraw();
    } catch {
      say("This is no picture that can be read", true);
    }
  }
  $("file").addEventListener("change", (event) => {
    if (event.target.files[0]) open(event.target.files[0]);
    event.target.value = "";
  });
  addEventListener("dragover", (event) => event.preventDefault()); // else the browser leaves the page for the file
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => { if (event.clipboardData.files[0]) open(event.clipboardData.files[0]); });

  // ---- the answer ----

  function askSoon() {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; ask(); });
  }

  /** What is drawn, as RGBA bytes: black on white, or the opened picture as it is. */
  function pixels() {
    if (opened) {
      const scale = Math.min(1, 1024 / Math.max(opened.width, opened.height));
      const width = Math.max(1, Math.round(opened.width * scale)), height = Math.max(1, Math.round(opened.height * scale));
      const canvas = Object.assign(document.createElement("canvas"), { width, height }), context = canvas.getContext("2d");
      context.drawImage(opened, 0, 0, width, height);
      return context.getImageData(0, 0, width, height);
    }
    sheetPaper.fillStyle = "#fff";
    sheetPaper.fillRect(0, 0, SIDE, SIDE);
    drawStrokes(sheetPaper, SIDE, "#000");
    return sheetPaper.getImageData(0, 0, SIDE, SIDE);
  }

  function ask() {
    if (!model) return;
    const begin = performance.now();
    let image = null;
    if (strokes.length || opened) {
      const { data, width, height } = pixels();
      image = picture.see(data, width, height);
    }
    answer = image ? model.ask(image) : null;
    const milliseconds = performance.now() - begin;
    showSeen(image);
    showAnswer();
    showLayers();
    $("time").textContent = image ? `${milliseconds.toFixed(1)} ms, picture to answer` : "\u00a0";
  }

  // All and nothing are said only where they are.
  function percent(share) {
    const digits = (100 * share).toFixed(1);
    if (share > 0 && digits === "0.0") return "< 0.1 %";
    return share < 1 && digits === "100.0" ? "> 99.9 %" : `${digits} %`;
  }

  function say(text, isWarning = false) {
    $("sure").textContent = text;
    $("sure").classList.toggle("unsure", isWarning);
  }

  let speaking = 0;
  function speakSoon(text) {
    clearTimeout(speaking);
    speaking = setTimeout(() => { $("spoken").textContent = text; }, 700);
  }

  function showAnswer() {
    const shares = answer ? answer.probabilities : model.classes.map(() => 0);
    const order = shares.map((_, k) => k).sort((a, b) => shares[b] - shares[a]), [best, second] = order;
    [...$("bars").children].forEach((row, k) => {
      row.classList.toggle("best", Boolean(answer) && k === best);
      row.children[1].firstChild.style.transform = `translateX(${100 * shares[k] - 100}%)`;
      row.children[2].textContent = answer ? percent(shares[k]) : "";
    });
    $("digit").textContent = answer ? model.classes[best] : "–";
    $("digit").classList.toggle("none", !answer);
    $("digit").classList.toggle("word", $("digit").textContent.length > 2);
    if (!answer) {
      say(strokes.length || opened ? "No ink found" : "Nothing drawn yet");
      speakSoon("");
    } else {
      const isUnsure = shares[best] < model.unsureBelow;
      say(isUnsure ? `Unsure: perhaps ${model.classes[second]}, or no digit` : `${percent(shares[best])} sure`, isUnsure);
      speakSoon(`${model.classes[best]}, ${percent(shares[best])}${isUnsure ? `, or ${model.classes[second]}` : ""}`);
    }
  }

  function showSeen(image) {
    const context = $("seen").getContext("2d"), seen = context.createImageData(28, 28);
    for (let i = 0; i < 784; i++) seen.data.set([0, 0, 0, 255].fill(image ? image[i] : 0, 0, 3), 4 * i);
    context.putImageData(seen, 0, 0);
  }

  // ---- feature maps ----

  function showLayers() {
    if (!$("layers").open) return;
    if (!answer) {
      $("maps").innerHTML = '<p class="empty">Draw something, and the maps of each layer appear here.</p>';
      return;
    }
    const rows = [...$("maps").querySelectorAll("section")];
    if (rows.length !== answer.layers.length) {
      $("maps").replaceChildren(...answer.layers.map((layer, index) => {
        const row = document.createElement("section"), title = document.createElement("h2");
        const what = maps.describe(layer);
        title.append(`Layer ${index + 1} `, Object.assign(document.createElement("span"), { textContent: what }));
        const canvas = document.createElement("canvas");
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `Layer ${index + 1}: ${what}`);
        row.append(title, canvas);
        return row;
      }));
    }
    const canvases = $("maps").querySelectorAll("canvas");
    answer.layers.forEach((layer, index) => maps.draw(canvases[index], layer));
  }

  $("layers").addEventListener("toggle", showLayers);

  // ---- models ----

  async function fetchForm(address) {
    const given = await fetch(address), form = await given.json();
    if (!given.ok) throw new Error(form.detail);
    return form;
  }

  async function choose(index) {
    const chosen = models[index];
    let reason = "";
    try {
      if (!loaded.has(chosen.name)) {
        loaded.set(chosen.name, network.load(chosen.nodes ? chosen : await fetchForm(chosen.address)));
      }
    } catch (error) {
      reason = error.message;
    }
    if (models.length > 1 && Number($("model").value) !== index) return; // another was chosen meanwhile
    if (reason) {
      if (model) $("model").value = models.findIndex(({ name }) => loaded.get(name) === model);
      say(`${chosen.name} cannot be used: ${reason}`, true);
      return;
    }
    model = loaded.get(chosen.name);
    $("bars").replaceChildren(...model.classes.map((name) => {
      const row = document.createElement("li");
      for (const kind of ["name", "track", "percent"]) {
        row.append(Object.assign(document.createElement("span"), { className: kind }));
      }
      row.firstChild.textContent = name;
      row.children[1].append(Object.assign(document.createElement("div"), { className: "fill" }));
      return row;
    }));
    $("maps").replaceChildren();
    ask();
  }
  if (models.length > 1) {
    $("model").append(...models.map(({ name }, index) => new Option(name, index)));
    $("model").addEventListener("change", (event) => choose(Number(event.target.value)));
  } else {
    $("choice").replaceChildren(`Model ${models[0].name}`);
  }
  new ResizeObserver(redraw).observe(pad);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  choose(0);
})();
