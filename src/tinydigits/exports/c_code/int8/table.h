/* Any function of one number: 256 answers known beforehand, for each channel or for all. */
TD_INLINE void td_table(const uint8_t *in, uint8_t *out, const uint8_t *table, int pixels, int channels, int tables)
{
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++) *out++ = table[(tables > 1 ? c * 256 : 0) + *in++];
}
