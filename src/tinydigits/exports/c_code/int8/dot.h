/* One output of a convolution, before its bias; weights are [row][column][input channel], padding counts as zero. */
TD_INLINE int32_t td_dot(const uint8_t *in, int zero, const int8_t *weights, const td_window *s, int y, int x)
{
    int32_t sum = 0;
    const int top = y * s->stride_h - s->pad_h, left = x * s->stride_w - s->pad_w;
    for (int ky = 0; ky < s->kernel_h; ky++)
        for (int kx = 0; kx < s->kernel_w; kx++, weights += s->group_channels) {
            const int row = top + ky * s->dilation_h, column = left + kx * s->dilation_w;
            if (row < 0 || row >= s->h || column < 0 || column >= s->w) continue;
            const uint8_t *p = in + (row * s->w + column) * s->in_channels;
            /* By way of 16 bits: gcc 12 with VNNI sums wrongly what it sees to fit 8, which it does where zero is 128. */
            for (int i = 0; i < s->group_channels; i++) sum += (int16_t)(p[i] - zero) * weights[i];
        }
    return sum;
}
