/* LANES numbers that are worked on at once. */
#ifdef TD_FAST
typedef float td_lanes_LANES __attribute__((vector_size(4 * LANES)));
#endif

/* The end of a pixel: activation, then a scale and a shift where there are some. */
TD_INLINE void td_store_LANES(const float *sums, float *out, float slope, const float *scale, const float *shift)
{
    for (int j = 0; j < LANES; j++) {
        const float v = sums[j] < 0 ? sums[j] * slope : sums[j];
        out[j] = scale ? v * scale[j] + shift[j] : v;
    }
}
