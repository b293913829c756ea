/* The sum of a window in one channel, zero taken off. */
TD_INLINE int32_t td_sum(const uint8_t *in, int zero, const td_window *s, int y, int x, int c)
{
    int32_t sum = 0;
    for (int ky = 0; ky < s->kernel_h; ky++)
        for (int kx = 0; kx < s->kernel_w; kx++) {
            const int row = y * s->stride_h - s->pad_h + ky, column = x * s->stride_w - s->pad_w + kx;
            if (row < 0 || row >= s->h || column < 0 || column >= s->w) continue;
            sum += in[(row * s->w + column) * s->in_channels + c] - zero;
        }
    return sum;
}
