"use strict";
// What the page does in the browser: pictures are attached, pointed at and seen at their full size. Texts go into the
// page as text, never as HTML.
window.genllava = (() => {
  const KEY = "genllava-thread";

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // --- the thread that is open, for this tab ---

  function remember(name) {
    if (name) sessionStorage.setItem(KEY, name);
    else sessionStorage.removeItem(KEY);
  }

  function remembered() {
    return sessionStorage.getItem(KEY) || "";
  }

  function turn_dark() {
    document.body.classList.toggle("dark");
  }

  // --- pictures that go with the next request ---

  const previews = new Map(); // address of the file in this browser, by token

  function attached(root, props, watch) {
    const input = root.querySelector("input");
    const list = root.querySelector(".list");
    const fault = root.querySelector(".fault");

    function show() {
      const kept = props.value || [];
      list.replaceChildren(...kept.map((each) => {
        const off = element("button", { type: "button", "aria-label": `Take off ${each.name}` }, "Take off");
        off.addEventListener("click", () => {
          props.value = (props.value || []).filter((other) => other.token !== each.token);
          show();
        });
        return element("li", {}, element("img", { src: previews.get(each.token) || "", alt: each.name }), off);
      }));
    }

    async function send(file) {
      try {
        const answer = await fetch("/uploads", { method: "POST", body: file });
        if (!answer.ok) throw new Error(await answer.text());
        const kept = await answer.json();
        previews.set(kept.token, URL.createObjectURL(file));
        props.value = [...(props.value || []), { ...kept, name: file.name }];
        show();
      } catch (error) {
        const said = error instanceof TypeError ? "it could not be sent" : error.message.trim();
        fault.textContent = `${fault.textContent} ${file.name}: ${said}`.trim();
      }
    }

    async function take(files) {
      fault.textContent = "";
      for (const file of files) await send(file);
    }

    input.addEventListener("change", () => {
      take([...input.files]).finally(() => { input.value = ""; });
    });
    const carries = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
    document.addEventListener("dragover", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      document.body.classList.add("dropping");
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) document.body.classList.remove("dropping");
    });
    document.addEventListener("drop", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      document.body.classList.remove("dropping");
      take([...event.dataTransfer.files]);
    });
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files || [])];
      if (files.length) take(files);
    });
    watch("value", () => {
      if (!(props.value || []).length) fault.textContent = "";
      show();
    });
    show();
  }

  // --- the pictures of the thread, and a part of one of them ---

  function pictures(root, props, watch) {
    const find = (selector) => root.querySelector(selector);
    const [row, chosen, whole, over, said] = [".strip", ".chosen", ".whole", ".over", ".region"].map(find);
    const modes = [...root.querySelectorAll("[data-mode]")];
    const numbers = [...root.querySelectorAll(".numbers input")];
    let mode = "point";
    let from = null; // where a box or a stroke began, in parts of the picture
    let strokes = null; // the mask that is being painted, as a canvas of the picture's own size

    const current = () => (props.value.images || []).find((each) => each.id === props.value.selected);

    function set(changes) {
      props.value = { ...props.value, ...changes };
    }

    function show() {
      const images = props.value.images || [];
      row.replaceChildren(...images.map((each) => {
        const pressed = String(each.id === props.value.selected);
        const image = element("img", { src: each.src, alt: each.alt });
        const button = element("button", { type: "button", "aria-pressed": pressed, "data-image": each.id }, image, each.id);
        button.addEventListener("click", () => {
          strokes = null;
          set({ selected: each.id, region: null });
          show();
          row.querySelector(`[data-image="${each.id}"]`).focus();
        });
        return button;
      }));
      const picture = current();
      chosen.hidden = !picture;
      if (!picture) return;
      if (whole.getAttribute("src") !== picture.src) whole.src = picture.src;
      whole.alt = picture.alt;
      const link = find(".download");
      link.href = picture.src;
      link.download = `${picture.id}.png`;
      draw();
    }

    function typed() { // the region that the numbers are; null where there are none
      if (numbers.every((each) => !each.value && !each.validity.badInput)) return null;
      return { image: props.value.selected, percent: numbers.map((each) => (each.value ? each.valueAsNumber : null)) };
    }

    function part_of(region) { // its numbers as the box or the point that they are; null where they are neither
      if (!region || !region.percent) return region;
      const [left, top, right, bottom] = region.percent.map((each) => (each === null ? null : each / 100));
      const inside = (each) => each !== null && each >= 0 && each <= 1;
      if (![left, top].every(inside)) return null;
      if (right === null && bottom === null) return { point: [left, top] };
      return inside(right) && inside(bottom) && left < right && top < bottom ? { box: [left, top, right, bottom] } : null;
    }

    function draw() {
      const picture = current();
      const is_typed = Boolean(props.value.region && props.value.region.percent);
      const region = part_of(props.value.region);
      if (!is_typed) for (const each of numbers) each.value = "";
      over.width = picture.width;
      over.height = picture.height;
      const pen = over.getContext("2d");
      const size = Math.max(2, Math.max(over.width, over.height) / 120);
      pen.strokeStyle = "#ff2d95";
      pen.lineWidth = size;
      said.textContent = "The whole picture is meant. Click a thing to mean it alone.";
      if (strokes) {
        pen.globalAlpha = 0.55;
        pen.drawImage(strokes, 0, 0, over.width, over.height);
        pen.globalAlpha = 1;
      }
      if (region && region.box) {
        const [left, top, right, bottom] = region.box;
        pen.strokeRect(left * over.width, top * over.height, (right - left) * over.width, (bottom - top) * over.height);
        said.textContent = `Your next request is about a box of ${picture.id}.`;
      } else if (region && region.point) {
        pen.beginPath();
        pen.arc(region.point[0] * over.width, region.point[1] * over.height, size * 3, 0, 2 * Math.PI);
        pen.stroke();
        const where = is_typed ? "is there" : "you clicked";
        said.textContent = `Your next request is about what ${where} in ${picture.id}.`;
      } else if (region && region.mask) {
        said.textContent = `Your next request is about what you marked in ${picture.id}.`;
      } else if (is_typed) {
        said.textContent = "These numbers are no part yet: left is less than right, top less than bottom, all 0 to 100.";
      }
    }

    function place(event) {
      const frame = over.getBoundingClientRect();
      const part = (at, start, length) => Math.min(1, Math.max(0, (at - start) / length));
      return [part(event.clientX, frame.left, frame.width), part(event.clientY, frame.top, frame.height)];
    }

    function box(a, b) {
      return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
    }

    function stroke(a, b) {
      const pen = strokes.getContext("2d");
      pen.strokeStyle = "white";
      pen.lineCap = "round";
      pen.lineWidth = Math.max(strokes.width, strokes.height) / 16;
      pen.beginPath();
      pen.moveTo(a[0] * strokes.width, a[1] * strokes.height);
      pen.lineTo(b[0] * strokes.width, b[1] * strokes.height);
      pen.stroke();
    }

    function mask() { // white where something was painted, on black
      const made = element("canvas", { width: strokes.width, height: strokes.height });
      const pen = made.getContext("2d");
      pen.fillRect(0, 0, made.width, made.height);
      pen.drawImage(strokes, 0, 0);
      return made.toDataURL("image/png");
    }

    over.addEventListener("pointerdown", (event) => {
      const picture = current();
      from = place(event);
      over.setPointerCapture(event.pointerId);
      if (mode === "mask") {
        strokes = strokes || element("canvas", { width: picture.width, height: picture.height });
        stroke(from, from);
        draw();
      }
    });
    over.addEventListener("pointermove", (event) => {
      if (!from) return;
      const now = place(event);
      if (mode === "box") {
        set({ region: { image: props.value.selected, box: box(from, now) } });
      } else if (mode === "mask") {
        stroke(from, now);
        from = now;
      }
      draw();
    });
    over.addEventListener("pointerup", (event) => {
      if (!from) return;
      const image = props.value.selected;
      if (mode === "point") {
        strokes = null;
        set({ region: { image, point: place(event) } });
      } else if (mode === "mask") {
        set({ region: { image, mask: mask() } });
      }
      from = null;
      draw();
    });
    over.addEventListener("pointercancel", () => { from = null; });
    for (const button of modes) {
      button.addEventListener("click", () => {
        mode = button.dataset.mode;
        for (const each of modes) each.setAttribute("aria-pressed", String(each === button));
        strokes = null;
        set({ region: null });
        draw();
      });
    }
    for (const field of numbers) {
      field.addEventListener("input", () => {
        strokes = null;
        set({ region: typed() });
        draw();
      });
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault(); // else the request would be sent
        document.querySelector("#text textarea").focus();
      });
    }
    find(".clear").addEventListener("click", () => {
      strokes = null;
      set({ region: null });
      draw();
    });
    find(".mask-file").addEventListener("change", (event) => {
      const [file] = event.target.files;
      event.target.value = "";
      if (!file) return;
      const reader = new FileReader();
      reader.addEventListener("load", () => {
        strokes = null;
        set({ region: { image: props.value.selected, mask: reader.result } });
        draw();
      });
      reader.readAsDataURL(file);
    });
    watch("value", () => {
      strokes = null;
      show();
    });
    show();
  }

  // --- a picture of the conversation at its full size ---

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#chat a");
    const image = link?.querySelector("img");
    if (!image || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const full = element("dialog", { class: "full" }, element("img", { src: image.src, alt: image.alt }));
    full.addEventListener("click", () => full.close());
    full.addEventListener("close", () => { full.remove(); link.focus(); });
    document.body.append(full);
    full.showModal();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    document.querySelector("#stop")?.click();
  });

  return { attached, pictures, remember, remembered, turn_dark };
})();
