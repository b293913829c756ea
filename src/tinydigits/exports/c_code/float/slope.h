/* ReLU, or leaky: what is below zero is multiplied. */
TD_INLINE void td_slope(const float *TD_RESTRICT in, float *TD_RESTRICT out, int n, float slope)
{
    for (int i = 0; i < n; i++) out[i] = in[i] < 0 ? in[i] * slope : in[i];
}
