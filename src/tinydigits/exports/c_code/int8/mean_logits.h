/* The mean of each channel as a logit, in 65536ths: it is not rounded to 8 bits. */
TD_INLINE void td_mean_logits(const uint8_t *in, int32_t *logits, int zero, int32_t factor, int shift, const td_window *s)
{
    for (int c = 0; c < s->out_channels; c++)
        logits[c] = (int32_t)((int64_t)td_sum(in, zero, s, 0, 0, c) * factor >> shift);
}
