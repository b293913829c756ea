/* BatchNorm with a ReLU, and maxima, forward and backward, on bfloat16 whose channels lie side by side in memory.

   A tensor is (images, height, width, channels), images a multiple of 16. BatchNorm goes through it as through one row
   of numbers, 16 at once: a channel has the same places in every `period` of those vectors, so that any number of
   channels fills them, and sums are kept for every place of the period. They are in single precision over pieces that
   the cache keeps and in double precision over those, in one order: the same bits on one machine, with any number of
   threads. Vectors are GCC's and Clang's own extension, so nothing here is of one processor. */

#include <math.h>
#include <stdint.h>

#define LANES 16
#define INLINE static inline __attribute__((always_inline))

typedef uint16_t Half __attribute__((vector_size(2 * LANES)));
typedef float Lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t Whole __attribute__((vector_size(4 * LANES)));

INLINE Lanes wide(Half values) { return (Lanes)(__builtin_convertvector(values, Whole) << 16); }

/* Rounded to the nearest, of two the even one; a NaN stays one. */
INLINE Half narrow(Lanes values) {
    const Whole bits = (Whole)values, nan = values != values, odd = (bits >> 16) & 1;
    const Whole rounded = (bits + (odd + 0x7fff)) >> 16;
    return __builtin_convertvector((rounded & ~nan) | (nan & 0x7fc0), Half);
}

INLINE Lanes where(Whole mask, Lanes values) { return (Lanes)((Whole)values & mask); }
INLINE Lanes positive(Lanes values) { return where(~(values <= 0), values); } /* a NaN stays one */
INLINE long least(long a, long b) { return a < b ? a : b; }

static int period_of(int channels) {
    int divisor = channels, rest = LANES;
    while (rest) {
        const int next = divisor % rest;
        divisor = rest;
        rest = next;
    }
    return channels / divisor;
}

/* Whole periods of some 8 kB. */
INLINE long piece_of(int period) { return (256 / period + 1) * (long)period; }

/* Every channel's number, at its places of the period. */
static void spread(int channels, int period, const float *values, Lanes *out) {
    for (int i = 0; i < period * LANES; i++) out[i / LANES][i % LANES] = values[i % channels];
}

/* Mean and variance (biased) of each channel: of pieces, in two ways through each, put together as by Chan, Golub and
   LeVeque 1979, first those of every place, then a channel's places. So a large mean costs no precision. */
static void moments(int channels, long vectors, const Half *x, float *mean, float *variance) {
    const int period = period_of(channels), places = period * LANES, times = places / channels;
    const long piece = piece_of(period);
    double centres[places], squares[places], seen = 0;
    for (int i = 0; i < places; i++) centres[i] = squares[i] = 0;
    for (long begin = 0; begin < vectors; begin += piece) {
        const long end = least(begin + piece, vectors);
        const double count = (double)((end - begin) / period);
        for (int p = 0; p < period; p++) {
            Lanes sum = {0}, power = {0};
            for (long n = begin + p; n < end; n += period) sum += wide(x[n]);
            const Lanes own = sum / (float)count;
            for (long n = begin + p; n < end; n += period) power += (wide(x[n]) - own) * (wide(x[n]) - own);
            for (int i = 0; i < LANES; i++) {
                const int at = p * LANES + i;
                const double apart = own[i] - centres[at];
                squares[at] += power[i] + apart * apart * seen * count / (seen + count);
                centres[at] += apart * count / (seen + count);
            }
        }
        seen += count;
    }
    for (int c = 0; c < channels; c++) {
        double centre = 0, square = 0;
        for (int at = c; at < places; at += channels) centre += centres[at] / times;
        for (int at = c; at < places; at += channels)
            square += squares[at] + (centres[at] - centre) * (centres[at] - centre) * seen;
        mean[c] = (float)centre;
        variance[c] = (float)(square / (seen * times));
    }
}

/* BatchNorm by the batch's own statistics, and a ReLU where `relu`. size: vectors of a channel. Gives mean, variance
   (biased) and 1/sd besides. */
void norm(int channels, long size, int relu, float epsilon, const Half *in, const float *weight, const float *bias,
          Half *out, float *mean, float *variance, float *scale, int threads) {
    const int period = period_of(channels);
    const long vectors = channels * size, piece = piece_of(period);
    float factor[channels], added[channels];
    Lanes factors[period], addeds[period];
    moments(channels, vectors, in, mean, variance);
    for (int c = 0; c < channels; c++) {
        scale[c] = 1 / sqrtf(variance[c] + epsilon);
        factor[c] = weight[c] * scale[c];
        added[c] = bias[c] - mean[c] * factor[c];
    }
    spread(channels, period, factor, factors);
    spread(channels, period, added, addeds);
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long begin = 0; begin < vectors; begin += piece) {
        const long end = least(begin + piece, vectors);
        for (int p = 0; p < period; p++) {
            const Lanes f = factors[p], a = addeds[p];
            if (relu) for (long n = begin + p; n < end; n += period) out[n] = narrow(positive(wide(in[n]) * f + a));
            else for (long n = begin + p; n < end; n += period) out[n] = narrow(wide(in[n]) * f + a);
        }
    }
}

/* A gradient as it comes to the norm, where a ReLU followed: as `norm` computed the value, so that none differs. */
INLINE Lanes passed(int relu, Lanes value, Lanes gradient, Lanes factor, Lanes added) {
    return relu ? where(~(value * factor + added <= 0), gradient) : gradient;
}

/* The gradients of `norm`. */
void norm_back(int channels, long size, int relu, const Half *in, const Half *gradient, const float *weight,
               const float *bias, const float *mean, const float *scale, Half *out, float *weight_out, float *bias_out,
               int threads) {
    const int period = period_of(channels), places = period * LANES;
    const long vectors = channels * size, piece = piece_of(period);
    const double count = (double)size * LANES;
    double sums[places], products[places];
    float factor[channels], added[channels], slope[channels], offset[channels];
    Lanes factors[period], addeds[period], means[period], slopes[period], offsets[period];
    for (int c = 0; c < channels; c++) {
        factor[c] = weight[c] * scale[c];
        added[c] = bias[c] - mean[c] * factor[c];
    }
    spread(channels, period, factor, factors);
    spread(channels, period, added, addeds);
    spread(channels, period, mean, means);
    for (int i = 0; i < places; i++) sums[i] = products[i] = 0;
    for (long begin = 0; begin < vectors; begin += piece) {
        const long end = least(begin + piece, vectors);
        for (int p = 0; p < period; p++) {
            const Lanes f = factors[p], a = addeds[p], m = means[p];
            Lanes sum = {0}, product = {0};
            for (long n = begin + p; n < end; n += period) {
                const Lanes t = passed(relu, wide(in[n]), wide(gradient[n]), f, a);
                sum += t;
                product += t * (wide(in[n]) - m);
            }
            for (int i = 0; i < LANES; i++) {
                sums[p * LANES + i] += sum[i];
                products[p * LANES + i] += product[i];
            }
        }
    }
    for (int c = 0; c < channels; c++) {
        double sum = 0, product = 0;
        for (int at = c; at < places; at += channels) {
            sum += sums[at];
            product += products[at] * scale[c];
        }
        weight_out[c] = (float)product;
        bias_out[c] = (float)sum;
        slope[c] = (float)(factor[c] * scale[c] * product / count);
        offset[c] = (float)(factor[c] * sum / count);
    }
    spread(channels, period, slope, slopes);
    spread(channels, period, offset, offsets);
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long begin = 0; begin < vectors; begin += piece) {
        const long end = least(begin + piece, vectors);
        for (int p = 0; p < period; p++) {
            const Lanes f = factors[p], a = addeds[p], m = means[p], s = slopes[p], o = offsets[p];
            for (long n = begin + p; n < end; n += period) {
                const Lanes value = wide(in[n]);
                out[n] = narrow(passed(relu, value, wide(gradient[n]), f, a) * f - (value - m) * s - o);
            }
        }
    }
}

/* Maxima need no arithmetic: as signed whole numbers, those below nothing turned round and a NaN above all, bfloat16
   lies in the order of its values. Vectors of 8 channels, and one by one what is left. */

#define FEW 8
typedef int16_t Few __attribute__((vector_size(2 * FEW), aligned(2), may_alias));

INLINE Few turned(Few bits) { return bits ^ ((bits >> 15) & 0x7fff); }
INLINE Few choose(Few mask, Few a, Few b) { return (a & mask) | (b & ~mask); }
INLINE Few key(Few bits) { return choose((bits & 0x7fff) > 0x7f80, (Few){0} + 0x7fff, turned(bits)); }
INLINE Few larger(Few a, Few b) { return choose(a < b, b, a); } /* the first of two that are equal */

/* Up to 8 channels of a pixel. */
INLINE Few take(const int16_t *from, int num) {
    Few values = {0};
    if (num >= FEW) return *(const Few *)from;
    for (int i = 0; i < num; i++) values[i] = from[i];
    return values;
}

INLINE void put(int16_t *to, Few values, int num) {
    if (num >= FEW) *(Few *)to = values;
    else for (int i = 0; i < num; i++) to[i] = values[i];
}

/* 2×2 pixels become their maximum; the last row and column of an odd size are left out. vectors: of 16 images. */
void max_pool(int channels, int height, int width, long vectors, const int16_t *in, int16_t *out, int threads) {
    const long row = (long)width * channels;
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long n = 0; n < vectors * LANES; n++)
        for (int y = 0; y < height / 2; y++)
            for (int x = 0; x < width / 2; x++)
                for (int c = 0; c < channels; c += FEW) {
                    const int num = channels - c;
                    const int16_t *a = in + (n * height + 2 * y) * row + (long)2 * x * channels + c, *b = a + row;
                    const Few upper = larger(key(take(a, num)), key(take(a + channels, num)));
                    const Few lower = larger(key(take(b, num)), key(take(b + channels, num)));
                    int16_t *o = out + ((n * (height / 2) + y) * (width / 2) + x) * channels + c;
                    put(o, turned(larger(upper, lower)), num);
                }
}

/* The gradient goes to the first maximum of each four. `out` begins as zeros where a size is odd. */
void max_pool_back(int channels, int height, int width, long vectors, const int16_t *in, const int16_t *gradient,
                   int16_t *out, int threads) {
    const long row = (long)width * channels;
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long n = 0; n < vectors * LANES; n++)
        for (int y = 0; y < height / 2; y++)
            for (int x = 0; x < width / 2; x++)
                for (int c = 0; c < channels; c += FEW) {
                    const int num = channels - c;
                    const long at = (n * height + 2 * y) * row + (long)2 * x * channels + c;
                    const int16_t *a = in + at, *b = a + row;
                    const Few g = take(gradient + ((n * (height / 2) + y) * (width / 2) + x) * channels + c, num);
                    const Few first = key(take(a, num)), second = key(take(a + channels, num));
                    const Few third = key(take(b, num)), fourth = key(take(b + channels, num));
                    const Few right = first < second, low_right = third < fourth;
                    const Few under = larger(first, second) < larger(third, fourth);
                    put(out + at, g & ~(under | right), num);
                    put(out + at + channels, g & ~under & right, num);
                    put(out + at + row, g & under & ~low_right, num);
                    put(out + at + row + channels, g & under & low_right, num);
                }
}
