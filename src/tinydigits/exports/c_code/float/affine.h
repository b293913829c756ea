/* A scale and a shift for each channel. */
TD_INLINE void td_affine(const float *TD_RESTRICT in, float *TD_RESTRICT out, const float *scale, const float *shift, int pixels, int channels)
{
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++, in++, out++) *out = *in * scale[c] + shift[c];
}
