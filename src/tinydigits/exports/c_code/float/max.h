/* The largest of each window; what lies outside the image does not count. */
TD_INLINE void td_max(const float *TD_RESTRICT in, float *TD_RESTRICT out, const td_window *s)
{
    for (int y = 0; y < s->out_h; y++)
        for (int x = 0; x < s->out_w; x++, out += s->out_channels) {
            for (int c = 0; c < s->out_channels; c++) out[c] = -3.4e38f;
            for (int ky = 0; ky < s->kernel_h; ky++)
                for (int kx = 0; kx < s->kernel_w; kx++) {
                    const int row = y * s->stride_h - s->pad_h + ky * s->dilation_h;
                    const int column = x * s->stride_w - s->pad_w + kx * s->dilation_w;
                    if (row < 0 || row >= s->h || column < 0 || column >= s->w) continue;
                    const float *p = in + (row * s->w + column) * s->in_channels;
                    for (int c = 0; c < s->out_channels; c++) out[c] = p[c] > out[c] ? p[c] : out[c];
                }
        }
}
