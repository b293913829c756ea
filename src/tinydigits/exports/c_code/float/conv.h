/* A convolution at `num` pixels for LANES output channels; weights are [row][column][input channel][lane]. */
TD_INLINE void td_conv_LANES(const float *TD_RESTRICT in, float *TD_RESTRICT out, const float *weights,
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
