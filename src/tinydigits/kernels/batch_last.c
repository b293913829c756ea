/* The layers of small networks, forward and backward, with the images of a batch side by side in memory.

   A tensor is (channels, height, width, images), images a multiple of 16, in single precision. Every operation does the
   same with 16 images or more at once, whatever the number of channels, and no sum runs across them but BatchNorm's and
   those of the weights' gradients. Sums are made in one order, so results are the same bits on one machine, with any
   number of threads. Vectors are GCC's and Clang's own extension, so nothing here is of one processor. */

#include <math.h>

typedef float Lanes __attribute__((vector_size(64)));
typedef int Mask __attribute__((vector_size(64)));

#define WIDTH 16
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

INLINE Lanes splat(float value) { return (Lanes){0} + value; }
INLINE Lanes where(Mask mask, Lanes values) { return (Lanes)((Mask)values & mask); }
INLINE Lanes choose(Mask mask, Lanes a, Lanes b) { return (Lanes)(((Mask)a & mask) | ((Mask)b & ~mask)); }
INLINE Lanes larger(Lanes a, Lanes b) { return choose(a < b, b, a); } /* the first of two that are equal */
INLINE Lanes positive(Lanes values) { return where(~(values <= 0), values); } /* a NaN stays one */

INLINE float total(Lanes values) {
    float sum = 0;
    for (int i = 0; i < WIDTH; i++) sum += values[i];
    return sum;
}

INLINE int most(int a, int b) { return a > b ? a : b; }
INLINE int least(int a, int b) { return a < b ? a : b; }

/* The size of a layer: `kernel` × `kernel` taps, `pad` zeros on every side, `vectors` of 16 images. */
typedef struct {
    int num_in, num_out, height, width, kernel, pad;
    long vectors;
} Layer;

INLINE int out_height(Layer l) { return l.height + 2 * l.pad - l.kernel + 1; }
INLINE int out_width(Layer l) { return l.width + 2 * l.pad - l.kernel + 1; }

/* Taps that meet a pixel, for an output at `at`. */
#define TAPS(first, end, at, size) const int first = most(0, l.pad - (at)), end = least(l.kernel, (size) - (at) + l.pad)

/* One position of `num` output channels, for V vectors of images. */
INLINE void conv_at(Layer l, int num, int V, const Lanes *in, const float *weights, const float *bias, Lanes *out,
                    int y, int x) {
    Lanes sums[8][4];
    const int taps = l.kernel * l.kernel;
    const long plane = (long)out_height(l) * out_width(l) * l.vectors;
    TAPS(top, bottom, y, l.height);
    TAPS(left, right, x, l.width);
    UNROLL for (int o = 0; o < num; o++) UNROLL for (int v = 0; v < V; v++) sums[o][v] = splat(0);
    for (int i = 0; i < l.num_in; i++)
        for (int dy = top; dy < bottom; dy++)
            for (int dx = left; dx < right; dx++) {
                const long row = (long)i * l.height + y + dy - l.pad;
                const Lanes *pixel = in + (row * l.width + x + dx - l.pad) * l.vectors;
                const float *weight = weights + i * taps + dy * l.kernel + dx;
                UNROLL for (int o = 0; o < num; o++) UNROLL for (int v = 0; v < V; v++)
                    sums[o][v] += pixel[v] * weight[(long)o * l.num_in * taps];
            }
    UNROLL for (int o = 0; o < num; o++) UNROLL for (int v = 0; v < V; v++)
        out[o * plane + v] = sums[o][v] + (bias ? bias[o] : 0);
}

INLINE void conv_plane(Layer l, int num, const Lanes *in, const float *weights, const float *bias, Lanes *out) {
    const int height = out_height(l), width = out_width(l);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            Lanes *at = out + ((long)y * width + x) * l.vectors;
            long v = 0;
            for (; v + 4 <= l.vectors; v += 4) conv_at(l, num, 4, in + v, weights, bias, at + v, y, x);
            for (; v < l.vectors; v++) conv_at(l, num, 1, in + v, weights, bias, at + v, y, x);
        }
}

/* Dense convolution, stride 1. weights: (out, in, kernel, kernel); bias may be NULL. */
void conv(Layer l, const Lanes *in, const float *weights, const float *bias, Lanes *out, int threads) {
    const long plane = (long)out_height(l) * out_width(l) * l.vectors, size = (long)l.num_in * l.kernel * l.kernel;
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int o = 0; o < l.num_out; o += 4) {
        const float *w = weights + o * size, *b = bias ? bias + o : 0;
        switch (l.num_out - o) {
        case 1: conv_plane(l, 1, in, w, b, out + o * plane); break;
        case 2: conv_plane(l, 2, in, w, b, out + o * plane); break;
        case 3: conv_plane(l, 3, in, w, b, out + o * plane); break;
        default: conv_plane(l, 4, in, w, b, out + o * plane);
        }
    }
}

/* Gradients of the weights between O output and I input channels; row by row, so that all taps find it in the cache. */
INLINE void weights_block(Layer l, int O, int I, const Lanes *in, const Lanes *gradient, float *out) {
    const int height = out_height(l), width = out_width(l), taps = l.kernel * l.kernel;
    const long in_plane = (long)l.height * l.width * l.vectors, plane = (long)height * width * l.vectors;
    Lanes all[taps][4][4];
    for (int tap = 0; tap < taps; tap++) UNROLL for (int o = 0; o < O; o++) UNROLL for (int i = 0; i < I; i++)
        all[tap][o][i] = splat(0);
    for (int y = 0; y < height; y++) {
        TAPS(top, bottom, y, l.height);
        for (int dy = top; dy < bottom; dy++)
            for (int dx = 0; dx < l.kernel; dx++) {
                const int left = most(0, l.pad - dx), right = least(width, l.width - dx + l.pad);
                const Lanes *g = gradient + ((long)y * width + left) * l.vectors;
                const Lanes *x = in + ((long)(y + dy - l.pad) * l.width + left + dx - l.pad) * l.vectors;
                Lanes sums[4][4];
                UNROLL for (int o = 0; o < O; o++) UNROLL for (int i = 0; i < I; i++) sums[o][i] = splat(0);
                for (long n = 0; n < (right - left) * l.vectors; n++)
                    UNROLL for (int o = 0; o < O; o++) UNROLL for (int i = 0; i < I; i++)
                        sums[o][i] += g[o * plane + n] * x[i * in_plane + n];
                UNROLL for (int o = 0; o < O; o++) UNROLL for (int i = 0; i < I; i++)
                    all[dy * l.kernel + dx][o][i] += sums[o][i];
            }
    }
    for (int tap = 0; tap < taps; tap++) UNROLL for (int o = 0; o < O; o++) UNROLL for (int i = 0; i < I; i++)
        out[((long)o * l.num_in + i) * taps + tap] = total(all[tap][o][i]);
}

/* The gradient of a dense convolution's weights: (out, in, kernel, kernel). */
void conv_weights(Layer l, const Lanes *in, const Lanes *gradient, float *out, int threads) {
    const long in_plane = (long)l.height * l.width * l.vectors, plane = (long)out_height(l) * out_width(l) * l.vectors;
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int o = 0; o < l.num_out; o += 4) {
        const int rest = least(4, l.num_out - o);
        for (int i = 0; i < l.num_in;) {
            const Lanes *x = in + i * in_plane, *g = gradient + o * plane;
            float *w = out + ((long)o * l.num_in + i) * l.kernel * l.kernel;
            const int step = l.num_in - i >= 4 ? 4 : l.num_in - i >= 2 ? 2 : 1;
            if (rest == 4 && step == 4) weights_block(l, 4, 4, x, g, w);
            else if (rest == 4 && step == 2) weights_block(l, 4, 2, x, g, w);
            else if (rest == 4) weights_block(l, 4, 1, x, g, w);
            else for (int k = 0; k < rest; k++) {
                float *row = w + (long)k * l.num_in * l.kernel * l.kernel;
                if (step == 4) weights_block(l, 1, 4, x, g + k * plane, row);
                else if (step == 2) weights_block(l, 1, 2, x, g + k * plane, row);
                else weights_block(l, 1, 1, x, g + k * plane, row);
            }
            i += step;
        }
    }
}

/* Each channel convolved with its own kernel. weights: (channels, 1, kernel, kernel); bias may be NULL. */
void depthwise(Layer l, const Lanes *in, const float *weights, const float *bias, Lanes *out, int threads) {
    const long in_plane = (long)l.height * l.width * l.vectors, plane = (long)out_height(l) * out_width(l) * l.vectors;
    Layer one = l;
    one.num_in = one.num_out = 1;
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int c = 0; c < l.num_out; c++)
        conv_plane(one, 1, in + c * in_plane, weights + (long)c * l.kernel * l.kernel, bias ? bias + c : 0,
                   out + c * plane);
}

void depthwise_weights(Layer l, const Lanes *in, const Lanes *gradient, float *out, int threads) {
    const long in_plane = (long)l.height * l.width * l.vectors, plane = (long)out_height(l) * out_width(l) * l.vectors;
    Layer one = l;
    one.num_in = one.num_out = 1;
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int c = 0; c < l.num_out; c++)
        weights_block(one, 1, 1, in + c * in_plane, gradient + c * plane, out + (long)c * l.kernel * l.kernel);
}

/* Mean and variance (biased) of a channel: of pieces that the cache keeps, in two ways through each, put together as by
   Chan, Golub and LeVeque 1979. So neither a large mean nor a single value far off costs any precision. */
static void moments(long size, const Lanes *x, float *mean, float *variance) {
    const long piece = 256;
    double centre = 0, squares = 0, seen = 0;
    for (long begin = 0; begin < size; begin += piece) {
        const long end = begin + piece < size ? begin + piece : size;
        Lanes sums[4] = {splat(0), splat(0), splat(0), splat(0)}, powers[4] = {splat(0), splat(0), splat(0), splat(0)};
        for (long n = begin; n < end; n += 4)
            UNROLL for (int k = 0; k < 4; k++) if (n + k < end) sums[k] += x[n + k];
        const double count = (double)(end - begin) * WIDTH;
        const double own = total((sums[0] + sums[1]) + (sums[2] + sums[3])) / count;
        const float near = (float)own;
        for (long n = begin; n < end; n += 4)
            UNROLL for (int k = 0; k < 4; k++) if (n + k < end) powers[k] += (x[n + k] - near) * (x[n + k] - near);
        const double apart = own - centre;
        squares += total((powers[0] + powers[1]) + (powers[2] + powers[3]))
                   + apart * apart * seen * count / (seen + count);
        centre += apart * count / (seen + count);
        seen += count;
    }
    *mean = (float)centre;
    *variance = (float)(squares / seen);
}

/* BatchNorm by the batch's own statistics, and a ReLU where `relu`. size: vectors of a channel. Gives mean, variance
   (biased) and 1/sd besides. */
void norm(int channels, long size, int relu, float epsilon, const Lanes *in, const float *weight, const float *bias,
          Lanes *out, float *mean, float *variance, float *scale, int threads) {
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int c = 0; c < channels; c++) {
        const Lanes *x = in + c * size;
        Lanes *y = out + c * size;
        moments(size, x, mean + c, variance + c);
        scale[c] = 1 / sqrtf(variance[c] + epsilon);
        const float factor = weight[c] * scale[c], added = bias[c] - mean[c] * factor;
        if (relu) for (long n = 0; n < size; n++) y[n] = positive(x[n] * factor + added);
        else for (long n = 0; n < size; n++) y[n] = x[n] * factor + added;
    }
}

/* A gradient as it comes to the norm, where a ReLU followed: as `norm` computed the value, so that none differs. */
INLINE Lanes passed(int relu, Lanes value, Lanes gradient, float factor, float added) {
    return relu ? where(~(value * factor + added <= 0), gradient) : gradient;
}

INLINE void norm_back_channel(long size, int relu, const Lanes *x, const Lanes *g, float weight, float bias,
                              float centre, float scale, Lanes *y, float *weight_out, float *bias_out) {
    const float factor = weight * scale, added = bias - centre * factor, count = (float)size * WIDTH;
    Lanes sums[4] = {splat(0), splat(0), splat(0), splat(0)}, products[4] = {splat(0), splat(0), splat(0), splat(0)};
    for (long n = 0; n < size; n += 4)
        UNROLL for (int k = 0; k < 4; k++) {
            if (n + k >= size) break;
            const Lanes t = passed(relu, x[n + k], g[n + k], factor, added);
            sums[k] += t;
            products[k] += t * (x[n + k] - centre);
        }
    const float sum = total((sums[0] + sums[1]) + (sums[2] + sums[3]));
    const float product = total((products[0] + products[1]) + (products[2] + products[3])) * scale;
    const float slope = factor * scale * product / count, offset = factor * sum / count;
    *weight_out = product;
    *bias_out = sum;
    for (long n = 0; n < size; n++)
        y[n] = passed(relu, x[n], g[n], factor, added) * factor - (x[n] - centre) * slope - offset;
}

/* The gradients of `norm`. */
void norm_back(int channels, long size, int relu, const Lanes *in, const Lanes *gradient, const float *weight,
               const float *bias, const float *mean, const float *scale, Lanes *out, float *weight_out, float *bias_out,
               int threads) {
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int c = 0; c < channels; c++) {
        const long at = c * size;
        if (relu)
            norm_back_channel(size, 1, in + at, gradient + at, weight[c], bias[c], mean[c], scale[c], out + at,
                              weight_out + c, bias_out + c);
        else
            norm_back_channel(size, 0, in + at, gradient + at, weight[c], bias[c], mean[c], scale[c], out + at,
                              weight_out + c, bias_out + c);
    }
}

void relu(long size, const Lanes *in, Lanes *out) {
    for (long n = 0; n < size; n++) out[n] = positive(in[n]);
}

void relu_back(long size, const Lanes *result, const Lanes *gradient, Lanes *out) {
    for (long n = 0; n < size; n++) out[n] = where(~(result[n] <= 0), gradient[n]);
}

/* 2×2 pixels become their maximum; the last row and column of an odd size are left out. */
void max_pool(int channels, int height, int width, long vectors, const Lanes *in, Lanes *out, int threads) {
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < height / 2; y++)
            for (int x = 0; x < width / 2; x++) {
                const Lanes *a = in + (((long)c * height + 2 * y) * width + 2 * x) * vectors, *b = a + width * vectors;
                Lanes *o = out + (((long)c * (height / 2) + y) * (width / 2) + x) * vectors;
                for (long v = 0; v < vectors; v++)
                    o[v] = larger(larger(a[v], a[v + vectors]), larger(b[v], b[v + vectors]));
            }
}

/* The gradient goes to the first maximum of each four. `out` begins as zeros. */
void max_pool_back(int channels, int height, int width, long vectors, const Lanes *in, const Lanes *gradient,
                   Lanes *out, int threads) {
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < height / 2; y++)
            for (int x = 0; x < width / 2; x++) {
                const long at = (((long)c * height + 2 * y) * width + 2 * x) * vectors, below = width * vectors;
                const Lanes *a = in + at, *b = a + below;
                const Lanes *g = gradient + (((long)c * (height / 2) + y) * (width / 2) + x) * vectors;
                Lanes *first = out + at, *second = first + below;
                for (long v = 0; v < vectors; v++) {
                    const Mask right = a[v] < a[v + vectors], low_right = b[v] < b[v + vectors];
                    const Mask under = choose(right, a[v + vectors], a[v]) < choose(low_right, b[v + vectors], b[v]);
                    first[v] = where(~(under | right), g[v]);
                    first[v + vectors] = where(~under & right, g[v]);
                    second[v] = where(under & ~low_right, g[v]);
                    second[v + vectors] = where(under & low_right, g[v]);
                }
            }
}
