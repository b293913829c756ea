/* Probabilities of logits; gives the class of the largest. */
static int td_softmax(const float *logits, float *probabilities, int n)
{
    int best = 0;
    float sum = 0;
    for (int i = 1; i < n; i++) best = logits[i] > logits[best] ? i : best;
    for (int i = 0; i < n; i++) sum += probabilities[i] = td_exp(logits[i] - logits[best]);
    for (int i = 0; i < n; i++) probabilities[i] /= sum;
    return best;
}
