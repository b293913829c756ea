/* A convolution at `num` pixels of LANES channels, each for itself; weights are [row][column][lane]. */
TD_INLINE void td_depthwise_LANES(const float *TD_RESTRICT in, float *TD_RESTRICT out, const float *weights,
                                  const float *bias, float slope, const float *scale, const float *shift,
                                  const td_window *s, int num, int k0, int k1, int x0, int x1)
{
    float sums[LANES];
#ifdef TD_FAST
    const int step = s->stride_w * s->in_channels;
    td_lanes_LANES lanes[TD_MAX_TILE], pixel, weight;
    __builtin_memcpy(&weight, bias, sizeof weight);
    TD_UNROLL
    for (int t = 0; t < num; t++) lanes[t] = weight;
#else
    for (int j = 0; j < LANES; j++) sums[j] = bias[j];
#endif
    for (int ky = k0; ky < k1; ky++)
        for (int kx = x0; kx < x1; kx++) {
            const float *p = in + (ky * s->dilation_h * s->w + kx * s->dilation_w) * s->in_channels;
            const float *q = weights + (ky * s->kernel_w + kx) * LANES;
#ifdef TD_FAST
            __builtin_memcpy(&weight, q, sizeof weight);
            TD_UNROLL
            for (int t = 0; t < num; t++) {
                __builtin_memcpy(&pixel, p + t * step, sizeof pixel);
                lanes[t] += pixel * weight;
            }
#else
            for (int j = 0; j < LANES; j++) sums[j] += p[j] * q[j];
#endif
        }
#ifdef TD_FAST
    TD_UNROLL
    for (int t = 0; t < num; t++) {
        __builtin_memcpy(sums, &lanes[t], sizeof sums);
        td_store_LANES(sums, out + t * s->out_channels, slope, scale, shift);
    }
#else
    (void)num;
    td_store_LANES(sums, out, slope, scale, shift);
#endif
}
