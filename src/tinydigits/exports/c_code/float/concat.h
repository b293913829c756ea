/* Some channels of an image into the places that they have among more. */
TD_INLINE void td_concat(const float *TD_RESTRICT in, float *TD_RESTRICT out, int pixels, int channels, int out_channels)
{
    for (int p = 0; p < pixels; p++, out += out_channels)
        for (int c = 0; c < channels; c++) out[c] = *in++;
}
