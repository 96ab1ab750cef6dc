/* Elementary functions of floats as plain loops' bodies, which the compiler makes vector code of.
 *
 * With LIBM defined: the C library's (gcc takes the vector versions of glibc's libmvec, up to 4 ulp). Otherwise: the
 * methods and polynomials of Pullback's engine, whose errors docs/accuracy.md states, without its treatment of
 * results below the normal numbers. Compile the latter without reassociation: parts of constants would be merged. */
#ifndef ELEMENTARY_H
#define ELEMENTARY_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE int32_t bits_of(float x) { int32_t i; memcpy(&i, &x, 4); return i; }
INLINE float of_bits(int32_t i) { float x; memcpy(&x, &i, 4); return x; }

#ifdef LIBM

#define fast_exp expf
#define fast_log logf
#define fast_tanh tanhf
#define fast_erf erff
INLINE float fast_cdf(float x) { return 0.5f + 0.5f * erff(x * 0.70710678f); }
INLINE float fast_exp_of_square(float x) { return expf(-x * x); }
INLINE double fast_exp_of_negative(double a) { return exp(-a); }
#define fast_log1p_of_fraction log1p
#define fast_cos cosf
#define fast_arctangent atan2f

#else

/* The nearest integer k to x / log 2 and x - k log 2; exp of the latter. */
INLINE float fast_exp(float x)
{
    x = x < 88.7f ? x : 88.7f;
    x = x > -87.3f ? x : -87.3f;
    const float magic = 0x1.8p23f;
    float moved = fmaf(x, 1.44269504f, magic), k = moved - magic;
    float r = fmaf(k, 2.12194440e-4f, fmaf(k, -0.693359375f, x));
    float p = 0.0013936141f;
    p = fmaf(p, r, 0.0083694067f);
    p = fmaf(p, r, 0.041666452f);
    p = fmaf(p, r, 0.16666514f);
    p = fmaf(p, r, 0.5f);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    return p * of_bits((bits_of(moved) << 23) + 0x3f800000);
}

INLINE float fast_log(float x)
{
    int32_t i = bits_of(x), k = (i - 0x3f3504f3) >> 23;
    float f = of_bits(i - (k << 23)) - 1.0f, n = (float)k, p = -0.07666337f;
    p = fmaf(p, f, 0.12789622f);
    p = fmaf(p, f, -0.13160874f);
    p = fmaf(p, f, 0.14197263f);
    p = fmaf(p, f, -0.16622773f);
    p = fmaf(p, f, 0.20001449f);
    p = fmaf(p, f, -0.25000846f);
    p = fmaf(p, f, 0.33333328f);
    p = fmaf(p, f, -0.5f);
    return fmaf(n, 0.693359375f, f + fmaf(f * f, p, n * -2.12194440e-4f));
}

INLINE float fast_tanh(float x)
{
    float a = fabsf(x), twice = a + a;
    twice = twice < 44.0f ? twice : 44.0f;
    float far = 1.0f - 2.0f / (fast_exp(twice) + 1.0f), u = a * a, p = -0.0056970967f;
    p = fmaf(p, u, 0.020631982f);
    p = fmaf(p, u, -0.053737473f);
    p = fmaf(p, u, 0.13331413f);
    p = fmaf(p, u, -0.33333281f);
    float near = fmaf(a * u, p, a);
    return copysignf(a < 0.625f ? near : far, x);
}

INLINE float fast_exp_of_square(float x) { return fast_exp(-(x * x)); }

/* The normal distribution function: erf in the middle, erfc in the tails. */
INLINE float fast_cdf(float x)
{
    float w = x * 0.70710678f, a = fabsf(w), u = w * w, p = 7.9199017e-05f, q, s;
    p = fmaf(p, u, -0.00080306543f);
    p = fmaf(p, u, 0.0051907259f);
    p = fmaf(p, u, -0.026855124f);
    p = fmaf(p, u, 0.11283618f);
    p = fmaf(p, u, -0.37612629f);
    p = fmaf(p, u, 0.12837917f);
    float near = fmaf(0.5f, fmaf(w, p, w), 0.5f);
    a = a < 10.1f ? a : 10.1f;
    q = (a - 2.0f) / (a + 2.0f);
    s = 9.1867397e-05f;
    s = fmaf(s, q, 0.00019028525f);
    s = fmaf(s, q, -0.00041059684f);
    s = fmaf(s, q, -0.0014488042f);
    s = fmaf(s, q, 0.0012534682f);
    s = fmaf(s, q, 0.0087232733f);
    s = fmaf(s, q, -0.0080299359f);
    s = fmaf(s, q, -0.054221109f);
    s = fmaf(s, q, 0.16405083f);
    s = fmaf(s, q, -0.1660302f);
    s = fmaf(s, q, -0.092763811f);
    s = fmaf(s, q, 1.2769784f);
    s = s / fmaf(a, 2.0f, 1.0f);
    s = 0.5f * fast_exp(-u) * fmaf(-s, fmaf(w, w, -u), s);
    float far = w < 0.0f ? s : 1.0f - s;
    return fabsf(w) < 1.0f ? near : far;
}

/* exp(-a) for a >= 0. */
INLINE double fast_exp_of_negative(double a)
{
    const double magic = 0x1.8p52;
    a = a < 708.0 ? a : 708.0;
    double moved = fma(-a, 1.4426950408889634, magic), k = moved - magic;
    double r = fma(k, -0x1.a39ef35793c76p-33, fma(k, -0x1.62e42feep-1, -a));
    double p = 2.5112823098906728e-08;
    p = fma(p, r, 2.763176276417137e-07);
    p = fma(p, r, 2.755723245961517e-06);
    p = fma(p, r, 2.4801488617098752e-05);
    p = fma(p, r, 0.00019841269898982712);
    p = fma(p, r, 0.0013888888948274689);
    p = fma(p, r, 0.008333333333315875);
    p = fma(p, r, 0.04166666666651065);
    p = fma(p, r, 0.16666666666666685);
    p = fma(p, r, 0.5000000000000013);
    p = fma(p, r, 1.0);
    p = fma(p, r, 1.0);
    int64_t bits;
    memcpy(&bits, &moved, 8);
    bits = (int64_t)((uint64_t)bits << 52) + 0x3ff0000000000000;
    double power;
    memcpy(&power, &bits, 8);
    return p * power;
}

/* log(1 + x) for 0 <= x <= 1. */
INLINE double fast_log1p_of_fraction(double x)
{
    double s = x / (x + 2.0), z = s * s, half = x * x * 0.5;
    double p = 0.17015308255145345;
    p = fma(p, z, 0.08341703100367207);
    p = fma(p, z, 0.1210576839252133);
    p = fma(p, z, 0.13301005545359565);
    p = fma(p, z, 0.1538655833949619);
    p = fma(p, z, 0.1818174394379469);
    p = fma(p, z, 0.22222223971452873);
    p = fma(p, z, 0.2857142854777162);
    p = fma(p, z, 0.4000000000015859);
    p = fma(p, z, 0.666666666666663);
    return x - fma(-s, fma(z, p, half), half);
}

/* For arguments of moderate size. */
INLINE float fast_cos(float x)
{
    const float magic = 0x1.8p23f;
    float moved = fmaf(x, 0.636619772f, magic), k = moved - magic;
    float r = fmaf(k, -5.39030253e-15f, fmaf(k, -7.54978942e-08f, fmaf(k, -1.57079625f, x))), u = r * r;
    int32_t q = bits_of(moved) + 1;
    float c = 2.44317998e-05f;
    c = fmaf(c, u, -0.00138873071f);
    c = fmaf(c, u, 0.0416666456f);
    c = fmaf(c, u, -0.5f);
    c = fmaf(c, u, 1.0f);
    float s = -0.000195097484f;
    s = fmaf(s, u, 0.0083321156f);
    s = fmaf(s, u, -0.166666538f);
    s = fmaf(r * u, s, r);
    return of_bits(bits_of(q & 1 ? c : s) ^ (q & 2) << 30);
}

/* The angle of a point other than the origin. */
INLINE float fast_arctangent(float y, float x)
{
    float ax = fabsf(x), ay = fabsf(y), bottom = ay > ax ? ay : ax, top = ay > ax ? ax : ay;
    int near = top > 0.55f * bottom; /* tan(pi / 4 - angle) */
    float t = near ? (bottom - top) / (bottom + top) : top / bottom, u = t * t;
    float p = 0.0337024927f;
    p = fmaf(p, u, -0.0760616958f);
    p = fmaf(p, u, 0.108353518f);
    p = fmaf(p, u, -0.142586917f);
    p = fmaf(p, u, 0.199987486f);
    p = fmaf(p, u, -0.333333135f);
    float angle = fmaf(t * u, p, t);
    angle = near ? 0.785398163f - angle : angle;
    angle = ay > ax ? 1.57079633f - angle : angle;
    angle = x < 0.0f ? 3.14159265f - angle : angle;
    return copysignf(angle, y);
}

#endif
#endif
