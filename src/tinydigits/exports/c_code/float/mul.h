/* The product of two images, the second possibly one pixel for all: a gate. */
TD_INLINE void td_mul(const float *TD_RESTRICT a, const float *TD_RESTRICT b, float *TD_RESTRICT out, int pixels, int channels, int b_pixels)
{
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++, a++, out++) *out = *a * b[(b_pixels > 1 ? p * channels : 0) + c];
}
