/* A product back to 8 bits: rounded, shifted, held within 0 to 255. */
TD_INLINE uint8_t td_round(int64_t v, int shift)
{
    v = (v + ((int64_t)1 << (shift - 1))) >> shift;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}
