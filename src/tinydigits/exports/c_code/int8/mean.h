/* The mean of each window; the window's size is in the factor. */
TD_INLINE void td_mean(const uint8_t *in, uint8_t *out, int zero, int32_t factor, int out_zero, int shift, const td_window *s)
{
    for (int y = 0; y < s->out_h; y++)
        for (int x = 0; x < s->out_w; x++)
            for (int c = 0; c < s->out_channels; c++) {
                const int32_t sum = td_sum(in, zero, s, y, x, c);
                *out++ = td_round((int64_t)sum * factor + (int64_t)out_zero * ((int64_t)1 << shift), shift);
            }
}
