/* From 8 bits to logits in 65536ths. */
TD_INLINE void td_dequantise(const uint8_t *in, int32_t *logits, int zero, int32_t factor, int shift, int n)
{
    for (int i = 0; i < n; i++) logits[i] = (int32_t)((int64_t)(in[i] - zero) * factor >> shift);
}
