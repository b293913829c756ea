/* e to the power of x, for x up to 0: a power of two by its bits, the rest by a polynomial; right to 2e-7. */
static float td_exp(float x)
{
    union { uint32_t bits; float value; } power;
    if (x < -87.0f) return 0.0f;
    const int n = (int)(x * 1.44269504f - 0.5f);
    const float f = x - (float)n * 0.693147181f;
    power.bits = (uint32_t)(127 + n) << 23;
    return power.value * (1 + f * (1 + f * (0.5f + f * (0.16666667f + f * (0.041666667f + f * (0.0083333333f + f * 0.0013888889f))))));
}
