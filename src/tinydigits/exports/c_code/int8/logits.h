/* The last layer over the whole image, in 65536ths: its sums are not rounded to 8 bits. */
TD_INLINE void td_logits(const uint8_t *in, int32_t *logits, int zero, const int8_t *weights, const int32_t *bias,
                         const int32_t *factors, int shift, const td_window *s)
{
    const int size = s->kernel_h * s->kernel_w * s->group_channels;
    for (int c = 0; c < s->out_channels; c++) {
        const int32_t sum = bias[c] + td_dot(in, zero, weights + c * size, s, 0, 0);
        logits[c] = (int32_t)((int64_t)sum * factors[c] >> shift);
    }
}
