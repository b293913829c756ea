/* A convolution; `slope` is in 32768ths, `offset` and the offsets of each channel in 65536ths of an output step. */
TD_INLINE void td_conv(const uint8_t *in, uint8_t *out, int zero, const int8_t *weights, const int32_t *bias,
                       const int32_t *factors, const int32_t *offsets, int32_t offset, int shift, int32_t slope,
                       int group_outputs, const td_window *s)
{
    const int size = s->kernel_h * s->kernel_w * s->group_channels;
    for (int y = 0; y < s->out_h; y++)
        for (int x = 0; x < s->out_w; x++) {
            const uint8_t *taken = in; /* of each group its own channels */
            for (int c = 0, of_group = 0; c < s->out_channels; c++, of_group++) {
                if (of_group == group_outputs) of_group = 0, taken += s->group_channels;
                int32_t sum = bias[c] + td_dot(taken, zero, weights + c * size, s, y, x);
                if (sum < 0) sum = (int32_t)((int64_t)sum * slope >> 15);
                const int64_t start = (int64_t)(offsets ? offsets[c] : offset) * ((int64_t)1 << (shift - 16));
                *out++ = td_round((int64_t)sum * factors[c] + start, shift);
            }
        }
}
