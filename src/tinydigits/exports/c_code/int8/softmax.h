/* Probabilities of logits in 65536ths; gives the class of the largest. Powers of two by a polynomial, right to 1e-6. */
static int td_softmax(const int32_t *logits, float *probabilities, int n)
{
    static const int32_t series[8] = {1073741824, 744261118, 257941249, 59597189, 10327387, 1431681, 165394, 16377};
    int32_t powers[TD_NUM_CLASSES], sum = 0;
    int best = 0;
    for (int i = 1; i < n; i++) best = logits[i] > logits[best] ? i : best;
    for (int i = 0; i < n; i++) {
        const int64_t steps = (int64_t)((int64_t)logits[best] - logits[i]) * 94548 >> 16; /* of 2^-1/65536 */
        int32_t power = series[7];
        for (int k = 6; k >= 0; k--) power = series[k] - (int32_t)((int64_t)power * (int32_t)(steps & 65535) >> 16);
        sum += powers[i] = steps >> 16 < 22 ? power >> (8 + (int)(steps >> 16)) : 0;
    }
    for (int i = 0; i < n; i++) probabilities[i] = (float)powers[i] / (float)sum;
    return best;
}
