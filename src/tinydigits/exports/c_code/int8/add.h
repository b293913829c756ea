/* The sum of two images, the second possibly one pixel for all. */
TD_INLINE void td_add(const uint8_t *a, const uint8_t *b, uint8_t *out, int pixels, int channels, int b_pixels, int a_zero,
                   int b_zero, int32_t a_factor, int32_t b_factor, int out_zero, int shift)
{
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++) {
            const int64_t first = (int64_t)(*a++ - a_zero) * a_factor;
            const int64_t second = (int64_t)(b[(b_pixels > 1 ? p * channels : 0) + c] - b_zero) * b_factor;
            *out++ = td_round(first + second + (int64_t)out_zero * ((int64_t)1 << shift), shift);
        }
}
