// Runs a model in the form that tinydigits.page.network writes, one image at a time. A tensor is {shape, data}; the
// batch is always 1. Sums are in doubles, results are kept as 32-bit floats, as other runtimes have them.
"use strict";

const network = (() => {
  const size = (shape) => shape.reduce((product, side) => product * side, 1);
  const tensor = (shape, data) => ({ shape, data: data || new Float32Array(size(shape)) });
  const each = (f) => ([x]) => tensor(x.shape, x.data.map(f));

  /** The elements of a tensor, seen with a larger shape: sides of 1 are repeated. */
  function broadcast(x, shape) {
    if (x.data.length === size(shape)) return (index) => x.data[index];
    if (x.data.length === 1) return () => x.data[0];
    const padded = [...new Array(shape.length - x.shape.length).fill(1), ...x.shape];
    return (index) => {
      let at = 0, step = 1;
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        if (padded[axis] > 1) at += (index % shape[axis]) * step;
        index = Math.floor(index / shape[axis]);
        step *= padded[axis];
      }
      return x.data[at];
    };
  }

  const both = (f) => ([a, b]) => {
    const rank = Math.max(a.shape.length, b.shape.length);
    const side = (x, axis) => x.shape[axis - rank + x.shape.length] ?? 1;
    const shape = Array.from({ length: rank }, (_, axis) => Math.max(side(a, axis), side(b, axis)));
    const y = tensor(shape), left = broadcast(a, shape), right = broadcast(b, shape);
    for (let i = 0; i < y.data.length; i++) y.data[i] = f(left(i), right(i));
    return y;
  };

  const outSide = (side, kernel, stride, pads) => Math.floor((side + pads - kernel) / stride) + 1;

  /** {height, width, data}: each channel with a border of zeros. */
  function padded({ shape: [, channels, height, width], data }, [top, left, bottom, right]) {
    const tall = height + top + bottom, wide = width + left + right, out = new Float64Array(channels * tall * wide);
    for (let c = 0, from = 0; c < channels; c++) {
      for (let y = 0, to = (c * tall + top) * wide + left; y < height; y++, from += width, to += wide) {
        out.set(data.subarray(from, from + width), to);
      }
    }
    return { height: tall, width: wide, data: out };
  }

  function conv([x, w, bias], { strides: [down, right] = [1, 1], pads = [0, 0, 0, 0], group = 1 }) {
    const [numOut, numIn, kh, kw] = w.shape, { height, width, data } = padded(x, pads), weights = w.data;
    const outHeight = outSide(height, kh, down, 0), outWidth = outSide(width, kw, right, 0);
    const y = tensor([1, numOut, outHeight, outWidth]), sums = new Float64Array(outHeight * outWidth);
    for (let o = 0, tap = 0; o < numOut; o++) {
      sums.fill(bias ? bias.data[o] : 0);
      const firstIn = Math.floor(o / (numOut / group)) * numIn;
      for (let i = firstIn; i < firstIn + numIn; i++) {
        if (kh === 3 && kw === 3) { // nine at once: a sum is read and written once for all
          const [a, b, c, d, e, f, g, h, k] = weights.subarray(tap, tap += 9);
          for (let oy = 0, to = 0; oy < outHeight; oy++) {
            let p = (i * height + oy * down) * width, q = p + width, r = q + width;
            for (const end = to + outWidth; to < end; to++, p += right, q += right, r += right) {
              sums[to] += a * data[p] + b * data[p + 1] + c * data[p + 2] + d * data[q] + e * data[q + 1]
                + f * data[q + 2] + g * data[r] + h * data[r + 1] + k * data[r + 2];
            }
          }
          continue;
        }
        for (let ky = 0; ky < kh; ky++) {
          for (let kx = 0; kx < kw; kx++) {
            const weight = weights[tap++];
            for (let oy = 0, to = 0; oy < outHeight; oy++) {
              let p = (i * height + oy * down + ky) * width + kx;
              for (const end = to + outWidth; to < end; to++, p += right) sums[to] += weight * data[p];
            }
          }
        }
      }
      y.data.set(sums, o * sums.length);
    }
    return y;
  }

  const pool = (isMax) => ([x], { kernel_shape: [kh, kw], strides = [1, 1], pads = [0, 0, 0, 0], count_include_pad }) => {
    const [, channels, height, width] = x.shape;
    const outHeight = outSide(height, kh, strides[0], pads[0] + pads[2]);
    const outWidth = outSide(width, kw, strides[1], pads[1] + pads[3]);
    const y = tensor([1, channels, outHeight, outWidth]);
    for (let c = 0, at = 0; c < channels; c++) {
      for (let oy = 0; oy < outHeight; oy++) {
        for (let ox = 0; ox < outWidth; ox++, at++) {
          let best = -Infinity, sum = 0, count = 0;
          for (let ky = 0; ky < kh; ky++) {
            for (let kx = 0; kx < kw; kx++) {
              const iy = oy * strides[0] + ky - pads[0], ix = ox * strides[1] + kx - pads[1];
              if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue;
              const value = x.data[(c * height + iy) * width + ix];
              best = Math.max(best, value);
              sum += value;
              count++;
            }
          }
          y.data[at] = isMax ? best : sum / (count_include_pad ? kh * kw : count);
        }
      }
    }
    return y;
  };

  function gemm([a, b, bias], { transB = 0, alpha = 1 }) {
    const numIn = a.data.length, numOut = transB ? b.shape[0] : b.shape[1], y = tensor([1, numOut]);
    for (let o = 0; o < numOut; o++) {
      let sum = 0;
      for (let i = 0; i < numIn; i++) sum += a.data[i] * b.data[transB ? o * numIn + i : i * numOut + o];
      y.data[o] = alpha * sum + (bias ? bias.data[bias.data.length > 1 ? o : 0] : 0);
    }
    return y;
  }

  /** Over the last two axes, as the models here do. */
  const reduce = (isMax) => ([x], { keepdims = 1 }) => {
    const [, channels, height, width] = x.shape, area = height * width;
    const y = tensor(keepdims ? [1, channels, 1, 1] : [1, channels]);
    for (let c = 0; c < channels; c++) {
      let best = -Infinity, sum = 0;
      for (let i = c * area; i < (c + 1) * area; i++) {
        best = Math.max(best, x.data[i]);
        sum += x.data[i];
      }
      y.data[c] = isMax ? best : sum / area;
    }
    return y;
  };

  function affine([x, scale, shift]) {
    const y = tensor(x.shape), area = size(x.shape.slice(2));
    for (let i = 0; i < y.data.length; i++) {
      const c = Math.floor(i / area);
      y.data[i] = x.data[i] * scale.data[c] + shift.data[c];
    }
    return y;
  }

  /** Along the channels, as the models here do. */
  function concat(inputs) {
    const channels = inputs.reduce((sum, x) => sum + x.shape[1], 0);
    const y = tensor([1, channels, ...inputs[0].shape.slice(2)]);
    inputs.reduce((at, x) => { y.data.set(x.data, at); return at + x.data.length; }, 0);
    return y;
  }

  function reshape([x, target]) {
    const known = target.reduce((product, side) => (side > 0 ? product * side : product), 1);
    return tensor(target.map((side) => (side < 0 ? x.data.length / known : side)), x.data);
  }

  function transpose([x], { perm }) {
    const y = tensor(perm.map((axis) => x.shape[axis]));
    const steps = x.shape.map((_, axis) => size(x.shape.slice(axis + 1)));
    for (let i = 0; i < y.data.length; i++) {
      let at = 0, rest = i;
      for (let axis = perm.length - 1; axis >= 0; axis--) {
        at += (rest % y.shape[axis]) * steps[perm[axis]];
        rest = Math.floor(rest / y.shape[axis]);
      }
      y.data[i] = x.data[at];
    }
    return y;
  }

  function unsqueeze([x, axes]) {
    const shape = [...x.shape];
    for (const axis of axes) shape.splice(axis < 0 ? axis + shape.length + 1 : axis, 0, 1);
    return tensor(shape, x.data);
  }

  const OPERATIONS = {
    Add: both((a, b) => a + b), Sub: both((a, b) => a - b), Mul: both((a, b) => a * b), Div: both((a, b) => a / b),
    Relu: each((v) => Math.max(v, 0)), Sigmoid: each((v) => 1 / (1 + Math.exp(-v))),
    LeakyRelu: ([x], { alpha = 0.01 }) => tensor(x.shape, x.data.map((v) => (v < 0 ? alpha * v : v))),
    Identity: ([x]) => x, Flatten: ([x]) => tensor([1, x.data.length], x.data),
    Conv: conv, MaxPool: pool(true), AveragePool: pool(false), GlobalAveragePool: reduce(false),
    ReduceMax: reduce(true), ReduceMean: reduce(false), Gemm: gemm, MatMul: gemm,
    Affine: affine, Concat: concat, Reshape: reshape, Transpose: transpose, Unsqueeze: unsqueeze,
  };
  const STARTS_LAYER = new Set(["Conv", "Gemm", "MatMul"]);
  const CONTINUES_LAYER = new Set(["Relu", "LeakyRelu", "Affine", "Sigmoid"]);

  /** A model ready to be asked: its facts, and ask(image) for 784 grey levels. */
  function load(form) {
    const bytes = Uint8Array.from(atob(form.weights), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer), floats = new Float64Array(bytes.length / 4);
    for (let i = 0; i < floats.length; i++) floats[i] = view.getFloat32(4 * i, true);
    const constants = {};
    for (const [name, place] of Object.entries(form.constants)) {
      constants[name] = Array.isArray(place) ? place
        : tensor(place.shape, floats.subarray(place.start, place.start + size(place.shape)));
    }

    /** {probabilities, layers}: each layer {kind, channels, height, width, data} as its activation left it. */
    function ask(image) {
      const values = { ...constants, [form.input]: tensor([1, 1, 28, 28], Float32Array.from(image, (v) => v / 255)) };
      const layers = [];
      for (const node of form.nodes) {
        const y = OPERATIONS[node.op](node.inputs.map((name) => values[name]), node);
        values[node.output] = y;
        const last = layers.at(-1);
        const [, channels, height = 1, width = 1] = y.shape;
        if (STARTS_LAYER.has(node.op)) {
          layers.push({ kind: node.op, output: node.output, channels, height, width, data: y.data });
        } else if (CONTINUES_LAYER.has(node.op) && last && last.output === node.inputs[0]) {
          Object.assign(last, { output: node.output, data: y.data });
        }
      }
      const logits = Array.from(values[form.output].data), top = Math.max(...logits);
      const powers = logits.map((value) => Math.exp(value - top)), total = powers.reduce((a, b) => a + b, 0);
      return { probabilities: powers.map((power) => power / total), layers };
    }
    return { name: form.name, source: form.source, classes: form.classes, unsureBelow: form.unsure_below, ask };
  }

  return { load };
})();
if (typeof module !== "undefined") module.exports = network;
