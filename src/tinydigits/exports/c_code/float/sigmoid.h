static void td_sigmoid(const float *in, float *out, int n)
{
    for (int i = 0; i < n; i++) {
        const float e = td_exp(in[i] < 0 ? in[i] : -in[i]);
        out[i] = (in[i] < 0 ? e : 1.0f) / (1.0f + e);
    }
}
