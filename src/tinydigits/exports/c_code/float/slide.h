/* What is done at `num` neighbouring pixels; the window's rows k0 to k1 and columns x0 to x1 lie inside the image. */
typedef void td_at(const float *in, float *out, const float *weights, const float *bias, float slope, const float *scale,
                   const float *shift, const td_window *s, int num, int k0, int k1, int x0, int x1);

/* Slides a window over an image, `tile` pixels at once where their whole window lies inside. */
TD_INLINE void td_slide(td_at *at, const float *TD_RESTRICT in, float *TD_RESTRICT out, const float *weights,
                        const float *bias, float slope, const float *scale, const float *shift, const td_window *s,
                        int tile)
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
                const int start = x + tile <= inside ? x : inside - tile, left = start * s->stride_w - s->pad_w;
                at(in + (top * s->w + left) * s->in_channels, out + (y * s->out_w + start) * s->out_channels,
                   weights, bias, slope, scale, shift, s, tile, k0, k1, 0, s->kernel_w);
                x = start + tile;
                continue;
            }
            const int left = x * s->stride_w - s->pad_w;
            int x0 = 0, x1 = s->kernel_w;
            while (left + x0 * s->dilation_w < 0) x0++;
            while (left + (x1 - 1) * s->dilation_w >= s->w) x1--;
            at(in + (top * s->w + left) * s->in_channels, out + (y * s->out_w + x) * s->out_channels,
               weights, bias, slope, scale, shift, s, 1, k0, k1, x0, x1);
            x++;
        }
    }
}
