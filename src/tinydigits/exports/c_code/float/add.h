/* The sum of two images, the second possibly one pixel for all. */
TD_INLINE void td_add(const float *TD_RESTRICT a, const float *TD_RESTRICT b, float *TD_RESTRICT out, int pixels, int channels, int b_pixels, float slope)
{
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++, a++, out++) {
            const float v = *a + b[(b_pixels > 1 ? p * channels : 0) + c];
            *out = v < 0 ? v * slope : v;
        }
}
