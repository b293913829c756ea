// A layer's feature maps, side by side in as many rows as they need.
"use strict";

const maps = (() => {
  const GAP = 4, NUMBER = 20, SMALLEST = 44, LARGEST = 72; // pixels of the page
  const KINDS = { Conv: "convolution", Gemm: "linear", MatMul: "linear" };

  /** What a layer is, in words. */
  function describe({ kind, channels, height, width }) {
    const found = height * width === 1 ? `${channels} numbers` : `${channels} maps of ${height} × ${width}`;
    return `${KINDS[kind]}, ${found}`;
  }

  /** Blue where a value is positive, brown where it is negative, each the brighter the larger: red, green, blue. */
  function colorOf(share) {
    const v = Math.sqrt(Math.abs(share));
    return share >= 0 ? [24 + 190 * v * v, 22 + 200 * v, 45 + 210 * v] : [24 + 225 * v, 22 + 110 * v, 45 - 10 * v];
  }

  /** Fills a canvas as wide as its parent allows; each layer by its own largest value. */
  function draw(canvas, { channels, height, width, data }) {
    const side = height * width === 1 ? NUMBER : Math.min(Math.max(3 * width, SMALLEST), LARGEST), step = side + GAP;
    const rows = Math.ceil(channels / Math.max(1, Math.floor((canvas.parentElement.clientWidth + GAP) / step)));
    const perRow = Math.ceil(channels / rows), ratio = devicePixelRatio;
    canvas.style.width = `${perRow * step - GAP}px`;
    canvas.width = (perRow * step - GAP) * ratio;
    canvas.height = (rows * step - GAP) * ratio;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    const map = Object.assign(document.createElement("canvas"), { width, height });
    const mapContext = map.getContext("2d"), pixels = mapContext.createImageData(width, height);
    const top = data.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9), area = width * height;
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < area; i++) pixels.data.set([...colorOf(data[c * area + i] / top), 255], 4 * i);
      mapContext.putImageData(pixels, 0, 0);
      const left = (c % perRow) * step, above = Math.floor(c / perRow) * step;
      context.drawImage(map, left * ratio, above * ratio, side * ratio, side * ratio);
    }
  }

  return { describe, draw };
})();
