/* Some channels of an image, rescaled, into the places that they have among more. */
TD_INLINE void td_concat(const uint8_t *in, uint8_t *out, int pixels, int channels, int out_channels, int zero, int32_t factor,
                      int out_zero, int shift)
{
    for (int p = 0; p < pixels; p++, out += out_channels)
        for (int c = 0; c < channels; c++)
            out[c] = td_round((int64_t)(*in++ - zero) * factor + (int64_t)out_zero * ((int64_t)1 << shift), shift);
}
