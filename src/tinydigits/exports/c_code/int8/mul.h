/* The product of two images, the second possibly one pixel for all: a gate. */
TD_INLINE void td_mul(const uint8_t *a, const uint8_t *b, uint8_t *out, int pixels, int channels, int b_pixels, int a_zero,
                   int b_zero, int32_t factor, int out_zero, int shift)
{
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++) {
            const int32_t product = (*a++ - a_zero) * (b[(b_pixels > 1 ? p * channels : 0) + c] - b_zero);
            *out++ = td_round((int64_t)product * factor + (int64_t)out_zero * ((int64_t)1 << shift), shift);
        }
}
