// From a picture's pixels to the 28×28 grey levels that a model sees: tinydigits.data.picture and .geometry, step by
// step in the same arithmetic. The Python has the reasons; tests hold the two together to one grey level.
"use strict";

const picture = (() => {
  const BOX = 20, FIELD = 28, MID = 14.5, ROUND = 0.500001;
  const MAX_SIDE = 512, BLUR_SIDE = 128, MIN_CONTRAST = 20, TILES = 16;
  const SPECK = 50, LEAST = 4, RIM = 1;
  const STROKE_SIDE = 80, THINNEST = 2.0, THICKEST = 3.2;
  const div = (a, b) => Math.floor(a / b);

  // ---- geometry ----

  /** The ink's box of grey levels {data, width, height}, or null. */
  function crop({ data, width, height }) {
    let top = height, bottom = -1, left = width, right = -1;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (!data[y * width + x]) continue;
        if (y < top) top = y;
        bottom = y;
        if (x < left) left = x;
        if (x > right) right = x;
      }
    }
    if (bottom < 0) return null;
    const box = { width: right - left + 1, height: bottom - top + 1 };
    box.data = new Float64Array(box.width * box.height);
    for (let y = 0; y < box.height; y++) {
      for (let x = 0; x < box.width; x++) box.data[y * box.width + x] = data[(y + top) * width + x + left];
    }
    return box;
  }

  function taps(numOld, numNew) {
    const scale = numOld / numNew, support = Math.max(scale, 1), all = [];
    for (let i = 0; i < numNew; i++) {
      const centre = (i + 0.5) * scale;
      const first = Math.max(0, Math.floor(centre - support + 0.5));
      const last = Math.min(numOld, Math.floor(centre + support + 0.5));
      const weights = [];
      let sum = 0;
      for (let k = first; k < last; k++) {
        const weight = Math.max(0, 1 - Math.abs(k + 0.5 - centre) / support);
        weights.push(weight);
        sum += weight;
      }
      all.push({ first, weights: weights.map((weight) => weight / sum) });
    }
    return all;
  }

  function fitBox(gray, side) {
    const box = crop(gray);
    if (!box) return null;
    const longest = Math.max(box.width, box.height);
    const height = Math.max(1, Math.floor((side * box.height) / longest + 0.5));
    const width = Math.max(1, Math.floor((side * box.width) / longest + 0.5));
    const rows = new Float64Array(height * box.width);
    taps(box.height, height).forEach(({ first, weights }, y) => {
      for (let x = 0; x < box.width; x++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * box.data[(first + k) * box.width + x];
        rows[y * box.width + x] = sum;
      }
    });
    const data = new Uint8Array(height * width);
    taps(box.width, width).forEach(({ first, weights }, x) => {
      for (let y = 0; y < height; y++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * rows[y * box.width + first + k];
        data[y * width + x] = Math.floor(sum + ROUND);
      }
    });
    return { data, width, height };
  }

  /** Where the fitted side starts in the field, from the mass along the side before it was fitted. */
  function start(mass, numNew) {
    let moment = 0, total = 0;
    mass.forEach((value, k) => { moment += (2 * k + 1) * value; total += value; });
    const centre = ((moment / (2 * total)) * numNew) / mass.length;
    return Math.min(Math.max(Math.floor(MID - centre + 0.5), 0), FIELD - numNew);
  }

  function toMnistGeometry(gray) {
    const field = new Uint8Array(FIELD * FIELD), box = crop(gray);
    if (!box) return field;
    const fitted = fitBox(gray, BOX);
    const rowMass = new Array(box.height).fill(0), columnMass = new Array(box.width).fill(0);
    for (let y = 0; y < box.height; y++) {
      for (let x = 0; x < box.width; x++) {
        rowMass[y] += box.data[y * box.width + x];
        columnMass[x] += box.data[y * box.width + x];
      }
    }
    const top = start(rowMass, fitted.height), left = start(columnMass, fitted.width);
    for (let y = 0; y < fitted.height; y++) {
      for (let x = 0; x < fitted.width; x++) {
        field[(y + top) * FIELD + x + left] = fitted.data[y * fitted.width + x];
      }
    }
    return field;
  }

  // ---- light ----

  function windows(tiles) {
    const span = div(tiles + 1, 2), first = [];
    for (let t = 0; t < tiles; t++) first.push(Math.min(Math.max(t - div(span, 2), 0), tiles - span));
    return { first, span };
  }

  function bend(profile) {
    const tiles = profile.length, { first, span } = windows(tiles), num = tiles - span + 1;
    if (num < 3) return new Array(tiles).fill(0);
    const total = (values) => values.reduce((sum, value) => sum + value, 0);
    const x = Array.from({ length: num }, (_, w) => w - (num - 1) / 2);
    const meanSquare = total(x.map((v) => v * v)) / num;
    const square = x.map((v) => v * v - meanSquare);
    const seen = x.map((_, w) => profile[w + div(span, 2)]);
    const mean = total(seen) / num;
    const value = seen.map((v) => v - mean);
    const slope = total(value.map((v, w) => v * x[w])) / total(x.map((v) => v * v));
    let curvature = total(value.map((v, w) => v * square[w])) / total(square.map((v) => v * v));
    const rest = value.map((v, w) => v - slope * x[w] - curvature * square[w]);
    const bent = square.map((v) => curvature * v);
    if (10 * total(rest.map((v) => v * v)) > total(bent.map((v) => v * v))) curvature = 0;
    return profile.map((_, t) => {
      const tile = t - (tiles - 1) / 2, window = first[t] - (num - 1) / 2;
      return slope * (tile - window) + curvature * (tile * tile - window * window);
    });
  }

  function betweenCentres(pixels, tiles) {
    const before = new Int32Array(pixels), part = new Float64Array(pixels);
    for (let i = 0; i < pixels; i++) {
      const position = ((i + 0.5) * tiles) / pixels - 0.5;
      before[i] = Math.min(Math.max(Math.floor(position), 0), tiles - 1);
      part[i] = Math.min(Math.max(position - before[i], 0), 1);
    }
    return { before, part };
  }

  /** How many pixels of each tile have each level, and the value of each tile. */
  function percentilesOfTiles(level, width, height, percent) {
    const rows = Math.min(TILES, height), columns = Math.min(TILES, width);
    const counts = new Int32Array(rows * columns * 256);
    for (let y = 0; y < height; y++) {
      const base = div(y * rows, height) * columns;
      for (let x = 0; x < width; x++) counts[(base + div(x * columns, width)) * 256 + level[y * width + x]]++;
    }
    const down = windows(rows), across = windows(columns);
    const inRows = new Int32Array(rows * columns * 256);
    for (let r = 0; r < rows; r++) {
      for (let k = down.first[r]; k < down.first[r] + down.span; k++) {
        const to = r * columns * 256, from = k * columns * 256;
        for (let i = 0; i < columns * 256; i++) inRows[to + i] += counts[from + i];
      }
    }
    const values = new Float64Array(rows * columns), around = new Int32Array(256);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        around.fill(0);
        for (let k = across.first[c]; k < across.first[c] + across.span; k++) {
          const from = (r * columns + k) * 256;
          for (let v = 0; v < 256; v++) around[v] += inRows[from + v];
        }
        values[r * columns + c] = percentile(around, percent);
      }
    }
    const rowMean = [], columnMean = new Array(columns).fill(0);
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let c = 0; c < columns; c++) { sum += values[r * columns + c]; columnMean[c] += values[r * columns + c]; }
      rowMean.push(sum / columns);
    }
    const bendRow = bend(rowMean), bendColumn = bend(columnMean.map((sum) => sum / rows));
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const bent = values[r * columns + c] + bendRow[r] + bendColumn[c];
        values[r * columns + c] = Math.min(Math.max(bent, 0), 255);
      }
    }
    return { counts, values, rows, columns };
  }

  /** The sum of the cubes of the distances from the median around each tile, and the signed sum. */
  function localContrast(level, width, height) {
    const { counts, values } = percentilesOfTiles(level, width, height, 50);
    let size = 0, signed = 0;
    values.forEach((value, tile) => {
      const median = Math.floor(value + ROUND);
      for (let v = 0; v < 256; v++) {
        const cubes = counts[tile * 256 + v] * (v - median) ** 3;
        size += Math.abs(cubes);
        signed += cubes;
      }
    });
    return { size, signed };
  }

  function localPercentile(level, width, height, percent) {
    const { values, rows, columns } = percentilesOfTiles(level, width, height, percent);
    const vertical = betweenCentres(height, rows), horizontal = betweenCentres(width, columns);
    const upper = new Float64Array(rows * width);
    for (let r = 0; r < rows; r++) {
      for (let x = 0; x < width; x++) {
        const c = horizontal.before[x], right = horizontal.part[x];
        const next = Math.min(c + 1, columns - 1);
        upper[r * width + x] = values[r * columns + c] * (1 - right) + values[r * columns + next] * right;
      }
    }
    const result = new Int32Array(width * height);
    for (let y = 0; y < height; y++) {
      const r = vertical.before[y], lower = vertical.part[y], next = Math.min(r + 1, rows - 1);
      for (let x = 0; x < width; x++) {
        result[y * width + x] = Math.floor(upper[r * width + x] * (1 - lower) + upper[next * width + x] * lower + ROUND);
      }
    }
    return result;
  }

  function percentile(counts, percent) {
    let total = 0, below = 0;
    for (const count of counts) total += count;
    for (let v = 0; v < counts.length; v++) {
      below += counts[v];
      if (below * 100 >= percent * total) return v;
    }
    return 0;
  }

  // ---- ink ----

  const luminance = (r, g, b) => div(299 * r + 587 * g + 114 * b + 500, 1000);

  /** RGBA bytes to one channel where all is grey, else three, without transparency. */
  function fill(rgba, width, height) {
    const size = width * height;
    let isGray = true, visible = 0;
    for (let i = 0; i < 4 * size; i += 4) {
      if (rgba[i] !== rgba[i + 1] || rgba[i] !== rgba[i + 2]) isGray = false;
      visible += rgba[i + 3];
    }
    const channels = isGray ? 1 : 3, full = 255 * size;
    const planes = Array.from({ length: channels }, () => new Int32Array(size));
    let mean = new Array(channels).fill(255);
    if (visible && visible !== full) {
      mean = mean.map((_, c) => {
        let sum = 0;
        for (let i = 0; i < size; i++) sum += rgba[4 * i + c] * rgba[4 * i + 3];
        return div(sum, visible);
      });
      if (2 * visible < full) {
        mean.fill((isGray ? mean[0] : luminance(...mean)) >= 128 ? 0 : 255);
      }
    }
    planes.forEach((plane, c) => {
      for (let i = 0; i < size; i++) {
        const opacity = rgba[4 * i + 3];
        plane[i] = visible === full ? rgba[4 * i + c] : visible === 0 ? 255
          : div(rgba[4 * i + c] * opacity + mean[c] * (255 - opacity) + 127, 255);
      }
    });
    return planes;
  }

  function shrink(plane, width, height, scale) {
    const w = Math.ceil(width / scale), h = Math.ceil(height / scale), small = new Int32Array(w * h);
    for (let y = 0; y < h; y++) {
      const bottom = Math.min((y + 1) * scale, height);
      for (let x = 0; x < w; x++) {
        const right = Math.min((x + 1) * scale, width), n = (bottom - y * scale) * (right - x * scale);
        let sum = 0;
        for (let yy = y * scale; yy < bottom; yy++) {
          for (let xx = x * scale; xx < right; xx++) sum += plane[yy * width + xx];
        }
        small[y * w + x] = div(sum + div(n, 2), n);
      }
    }
    return small;
  }

  function smooth(plane, width, height) {
    if (Math.max(width, height) <= BLUR_SIDE) return plane;
    const rows = new Int32Array(width * height), result = new Int32Array(width * height);
    for (let y = 0; y < height; y++) {
      const above = Math.max(y - 1, 0) * width, here = y * width, below = Math.min(y + 1, height - 1) * width;
      for (let x = 0; x < width; x++) rows[here + x] = plane[above + x] + 2 * plane[here + x] + plane[below + x];
    }
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const left = Math.max(x - 1, 0), right = Math.min(x + 1, width - 1), at = y * width;
        result[at + x] = (rows[at + left] + 2 * rows[at + x] + rows[at + right] + 8) >> 4;
      }
    }
    return result;
  }

  function clearest(planes, width, height) {
    let channels = planes;
    if (planes.length === 3) {
      channels = [planes[0].map((_, i) => luminance(planes[0][i], planes[1][i], planes[2][i])), ...planes];
    }
    let best = null, bestScore = -1, isBright = false;
    for (const channel of channels) {
      const { size, signed } = localContrast(channel, width, height);
      if (size > bestScore) { best = channel; bestScore = size; isBright = signed > 0; }
    }
    return isBright ? best.map((value) => 255 - value) : best;
  }

  function thresholdOf(counts) {
    let size = 0, above = 0, top = 255;
    const below = [], mass = [];
    let massSum = 0;
    for (let v = 0; v < 256; v++) { size += counts[v]; massSum += counts[v] * v; below.push(size); mass.push(massSum); }
    for (; top > 0; top--) {
      above += counts[top];
      if (above * 1000 >= size) break;
    }
    let threshold = div(percentile(counts, 50) + top, 2);
    for (let round = 0; round < 100; round++) {
      const numAbove = size - below[threshold];
      if (!numAbove || !below[threshold]) break;
      const meanAbove = (massSum - mass[threshold]) / numAbove, meanBelow = mass[threshold] / below[threshold];
      const following = Math.trunc((meanAbove + meanBelow) / 2);
      if (following === threshold) break;
      threshold = following;
    }
    return threshold;
  }

  /** {gray, isInk, width, height, scale}; gray is null where nothing is written. */
  function findInk(rgba, fullWidth, fullHeight) {
    const ofSide = Math.max(fullWidth, fullHeight) / MAX_SIDE, ofStrip = 2 * Math.sqrt(fullWidth * fullHeight) / MAX_SIDE;
    const scale = Math.max(1, Math.ceil(Math.min(ofSide, ofStrip)));
    const width = Math.ceil(fullWidth / scale), height = Math.ceil(fullHeight / scale);
    const planes = fill(rgba, fullWidth, fullHeight).map((plane) => {
      return smooth(scale === 1 ? plane : shrink(plane, fullWidth, fullHeight, scale), width, height);
    });
    const level = clearest(planes, width, height), size = width * height;
    const paper = localPercentile(level, width, height, 75);
    const ink = new Int32Array(size), counts = new Int32Array(256);
    for (let i = 0; i < size; i++) {
      const white = Math.max(paper[i], 1);
      ink[i] = Math.max(div(255 * (white - level[i]) + div(white, 2), white), 0);
      counts[ink[i]]++;
    }
    const threshold = thresholdOf(counts), isInk = ink.map((value) => (value > threshold ? 1 : 0));
    const none = { gray: null, isInk, width, height, scale };
    if (!isInk.includes(1)) return none;
    const low = percentile(counts.subarray(0, threshold + 1), 50);
    const high = threshold + 1 + percentile(counts.subarray(threshold + 1), 50);
    if (high - low < MIN_CONTRAST) return none;
    const gray = new Uint8Array(size);
    for (let i = 0; i < size; i++) {
      gray[i] = Math.min(Math.max(div(255 * (ink[i] - low) + div(high - low, 2), high - low), 0), 255);
    }
    return { gray, isInk, width, height, scale };
  }

  // ---- parts ----

  function partsOf({ isInk, width, height }) {
    const runs = [], startOfRow = [], leader = [];
    const root = (index) => {
      while (leader[index] !== index) index = leader[index] = leader[leader[index]];
      return index;
    };
    for (let y = 0; y < height; y++) {
      startOfRow.push(runs.length);
      for (let x = 0; x < width; x++) {
        if (!isInk[y * width + x]) continue;
        const first = x;
        while (x < width && isInk[y * width + x]) x++;
        const index = runs.length;
        leader.push(index);
        runs.push([y, first, x]);
        for (let above = y ? startOfRow[y - 1] : 0; above < startOfRow[y]; above++) {
          if (runs[above][1] <= x && first <= runs[above][2]) {
            const a = root(above), b = root(index);
            leader[Math.max(a, b)] = Math.min(a, b);
          }
        }
      }
    }
    const members = new Map();
    runs.forEach((run, index) => {
      const key = root(index);
      if (!members.has(key)) members.set(key, []);
      members.get(key).push(run);
    });
    let parts = [...members.values()].map((found) => {
      const part = { runs: found, left: width, top: height, right: 0, bottom: 0, area: 0, atEdge: 0 };
      for (const [y, first, last] of found) {
        part.left = Math.min(part.left, first);
        part.right = Math.max(part.right, last);
        part.top = Math.min(part.top, y);
        part.bottom = Math.max(part.bottom, y + 1);
        part.area += last - first;
        part.atEdge += (first === 0) + (last === width) + (last - first) * ((y === 0) + (y === height - 1));
      }
      return part;
    });
    const inside = parts.filter((part) => part.atEdge < Math.max(part.right - part.left, part.bottom - part.top));
    if (inside.some((part) => LEAST * (part.bottom - part.top) >= height)) parts = inside;
    const largest = Math.max(0, ...parts.map((part) => part.area));
    return parts.filter((part) => part.area * SPECK >= largest);
  }

  function paint({ gray, width, height }, parts) {
    const left = Math.max(Math.min(...parts.map((part) => part.left)) - RIM, 0);
    const top = Math.max(Math.min(...parts.map((part) => part.top)) - RIM, 0);
    const right = Math.min(Math.max(...parts.map((part) => part.right)) + RIM, width);
    const bottom = Math.min(Math.max(...parts.map((part) => part.bottom)) + RIM, height);
    const painted = { width: right - left, height: bottom - top };
    painted.data = new Uint8Array(painted.width * painted.height);
    for (const part of parts) {
      for (const [row, first, last] of part.runs) {
        for (let y = Math.max(row - RIM, top); y < Math.min(row + RIM + 1, bottom); y++) {
          for (let x = Math.max(first - RIM, left); x < Math.min(last + RIM, right); x++) {
            painted.data[(y - top) * painted.width + x - left] = gray[y * width + x];
          }
        }
      }
    }
    return painted;
  }

  // ---- stroke ----

  function strokeWidth({ data, width, height }) {
    const at = (y, x) => (y >= 0 && x >= 0 && y < height && x < width && data[y * width + x] >= 128 ? 1 : 0);
    let area = 0, edges = 0;
    for (let y = -1; y <= height; y++) {
      for (let x = -1; x <= width; x++) {
        const here = at(y, x);
        area += here;
        edges += (here !== at(y + 1, x)) + (here !== at(y, x + 1));
      }
    }
    return edges ? (2 * area) / ((edges * Math.PI) / 4) : 0;
  }

  function extreme(gray, pad, radius, choose) {
    const width = gray.width + 2 * pad, height = gray.height + 2 * pad, reach = Math.floor(radius);
    const at = (y, x) => {
      y -= pad;
      x -= pad;
      return y >= 0 && x >= 0 && y < gray.height && x < gray.width ? gray.data[y * gray.width + x] : 0;
    };
    const disc = [];
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) if (dy * dy + dx * dx <= radius * radius) disc.push([dy, dx]);
    }
    const data = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let value = at(y, x);
        for (const [dy, dx] of disc) value = choose(value, at(y + dy, x + dx));
        data[y * width + x] = value;
      }
    }
    return { data, width, height };
  }

  function normaliseStroke(gray) {
    const fitted = fitBox(gray, STROKE_SIDE);
    if (!fitted) return gray;
    const width = (strokeWidth(fitted) * BOX) / STROKE_SIDE;
    if (!width || (THINNEST <= width && width <= THICKEST)) return gray;
    const wanted = Math.min(Math.max(width, THINNEST), THICKEST);
    const radius = (Math.abs(wanted - width) * STROKE_SIDE) / BOX / 2, pad = Math.ceil(radius);
    if (width < wanted) return extreme(fitted, pad, radius, Math.max);
    const thinned = extreme(fitted, pad, radius, Math.min);
    return thinned.data.some((value) => value >= 128) ? thinned : gray;
  }

  /** The 28×28 grey levels (Uint8Array of 784) of a picture's RGBA bytes, or null where nothing is written. */
  function see(rgba, width, height) {
    const ink = findInk(rgba, width, height), parts = ink.gray ? partsOf(ink) : [];
    return parts.length ? toMnistGeometry(normaliseStroke(paint(ink, parts))) : null;
  }

  return { see };
})();
if (typeof module !== "undefined") module.exports = picture;
