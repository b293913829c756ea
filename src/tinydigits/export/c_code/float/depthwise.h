/* A convolution of each channel for itself, LANES channels at once; weights are [row][column][lane]. */
TD_INLINE void td_depthwise_LANES(const float *TD_RESTRICT in, float *TD_RESTRICT out, const float *weights,
                                  const float *bias, float slope, const float *scale, const float *shift,
                                  const td_window *s)
{
    for (int y = 0; y < s->out_h; y++) {
        const int top = y * s->stride_h - s->pad_h;
        int k0 = 0, k1 = s->kernel_h;
        while (top + k0 * s->dilation_h < 0) k0++;
        while (top + (k1 - 1) * s->dilation_h >= s->h) k1--;
        for (int x = 0; x < s->out_w; x++) {
            const int left = x * s->stride_w - s->pad_w;
            int x0 = 0, x1 = s->kernel_w;
            float sums[LANES];
            while (left + x0 * s->dilation_w < 0) x0++;
            while (left + (x1 - 1) * s->dilation_w >= s->w) x1--;
#ifdef TD_FAST
            td_lanes_LANES lanes, pixel, weight;
            __builtin_memcpy(&lanes, bias, sizeof lanes);
#else
            for (int j = 0; j < LANES; j++) sums[j] = bias[j];
#endif
            for (int ky = k0; ky < k1; ky++)
                for (int kx = x0; kx < x1; kx++) {
                    const float *q = weights + (ky * s->kernel_w + kx) * LANES;
                    const float *p = in + ((top + ky * s->dilation_h) * s->w + left + kx * s->dilation_w) * s->in_channels;
#ifdef TD_FAST
                    __builtin_memcpy(&pixel, p, sizeof pixel);
                    __builtin_memcpy(&weight, q, sizeof weight);
                    lanes += pixel * weight;
#else
                    for (int j = 0; j < LANES; j++) sums[j] += p[j] * q[j];
#endif
                }
#ifdef TD_FAST
            __builtin_memcpy(sums, &lanes, sizeof sums);
#endif
            td_store_LANES(sums, out + (y * s->out_w + x) * s->out_channels, slope, scale, shift);
        }
    }
}
