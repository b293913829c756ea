/* `num` neighbouring pixels of LANES output channels; the window's rows k0 to k1 and columns x0 to x1 lie inside. */
TD_INLINE void td_conv_at_LANES(const float *TD_RESTRICT in, float *TD_RESTRICT out, const float *weights,
                                const float *bias, float slope, const float *scale, const float *shift,
                                const td_window *s, int num, int k0, int k1, int x0, int x1)
{
    /* Columns that lie side by side are one run of numbers. */
    const int joined = s->dilation_w == 1 && s->in_channels == s->group_channels;
    const int run = joined ? (x1 - x0) * s->group_channels : s->group_channels;
    const int step = s->stride_w * s->in_channels;
    float sums[LANES];
#ifdef TD_FAST
    td_lanes_LANES lanes[TD_MAX_TILE], weight;
    __builtin_memcpy(&weight, bias, sizeof weight);
    TD_UNROLL
    for (int t = 0; t < num; t++) lanes[t] = weight;
#else
    for (int j = 0; j < LANES; j++) sums[j] = bias[j];
#endif
    for (int ky = k0; ky < k1; ky++)
        for (int kx = x0; kx < (joined ? x0 + 1 : x1); kx++) {
            const float *p = in + (ky * s->dilation_h * s->w + kx * s->dilation_w) * s->in_channels;
            const float *q = weights + (ky * s->kernel_w + kx) * s->group_channels * LANES;
            for (int i = 0; i < run; i++, q += LANES) {
#ifdef TD_FAST
                __builtin_memcpy(&weight, q, sizeof weight);
                TD_UNROLL
                for (int t = 0; t < num; t++) lanes[t] += p[t * step + i] * weight;
#else
                for (int j = 0; j < LANES; j++) sums[j] += p[i] * q[j];
#endif
            }
        }
#ifdef TD_FAST
    TD_UNROLL
    for (int t = 0; t < num; t++) {
        __builtin_memcpy(sums, &lanes[t], sizeof sums);
        td_store_LANES(sums, out + t * s->out_channels, slope, scale, shift);
    }
#else
    (void)num, (void)step;
    td_store_LANES(sums, out, slope, scale, shift);
#endif
}

/* A convolution for LANES output channels; weights are [row][column][input channel][lane]. */
TD_INLINE void td_conv_LANES(const float *TD_RESTRICT in, float *TD_RESTRICT out, const float *weights,
                             const float *bias, float slope, const float *scale, const float *shift,
                             const td_window *s, int tile)
{
    const int first = (s->pad_w + s->stride_w - 1) / s->stride_w;
    const int fits = (s->w - 1 - (s->kernel_w - 1) * s->dilation_w + s->pad_w) / s->stride_w + 1;
    const int inside = fits < s->out_w ? fits : s->out_w;
#ifndef TD_FAST
    tile = 1;
#endif
    for (int y = 0; y < s->out_h; y++) {
        const int top = y * s->stride_h - s->pad_h;
        int k0 = 0, k1 = s->kernel_h;
        while (top + k0 * s->dilation_h < 0) k0++;
        while (top + (k1 - 1) * s->dilation_h >= s->h) k1--;
        for (int x = 0; x < s->out_w;) {
            if (tile > 1 && x >= first && x < inside && inside - first >= tile) {
                /* The pixels of a tile share each weight that is read; the last may overlap the one before it. */
                const int at = x + tile <= inside ? x : inside - tile, left = at * s->stride_w - s->pad_w;
                td_conv_at_LANES(in + (top * s->w + left) * s->in_channels, out + (y * s->out_w + at) * s->out_channels,
                                 weights, bias, slope, scale, shift, s, tile, k0, k1, 0, s->kernel_w);
                x = at + tile;
                continue;
            }
            const int left = x * s->stride_w - s->pad_w;
            int x0 = 0, x1 = s->kernel_w;
            while (left + x0 * s->dilation_w < 0) x0++;
            while (left + (x1 - 1) * s->dilation_w >= s->w) x1--;
            td_conv_at_LANES(in + (top * s->w + left) * s->in_channels, out + (y * s->out_w + x) * s->out_channels,
                             weights, bias, slope, scale, shift, s, 1, k0, k1, x0, x1);
            x++;
        }
    }
}
