/* The programs that `beside_c.py` measures, as one would write them by hand in C, for two or more threads (OpenMP). */
#include <stddef.h>
#include <stdlib.h>

#include "elementary.h"
#ifdef __AVX512F__
#include <immintrin.h>
#endif

/* The maximum, the exponentials with their sum, and the quotients of a row, one after the other, in cache. */
INLINE void softmax_of_row(const float *a, float *b, ptrdiff_t n)
{
    float top = a[0], sum = 0.0f;
#pragma omp simd reduction(max : top)
    for (ptrdiff_t j = 0; j < n; j++)
        top = a[j] > top ? a[j] : top;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t j = 0; j < n; j++) {
        b[j] = fast_exp(a[j] - top);
        sum += b[j];
    }
    float scale = 1.0f / sum;
#pragma omp simd
    for (ptrdiff_t j = 0; j < n; j++)
        b[j] *= scale;
}

void softmax(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n)
{
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < rows; i++)
        softmax_of_row(x + i * n, y + i * n, n);
}

/* A store that does not read the line before; ordinary where the CPU has none or the place is not aligned. */
INLINE void write_past_cache(float *to, const float *from, ptrdiff_t n)
{
    ptrdiff_t j = 0;
#ifdef __AVX512F__
    for (; j < n && ((uintptr_t)(to + j) & 63); j++)
        to[j] = from[j];
    for (; j + 16 <= n; j += 16)
        _mm512_stream_ps(to + j, _mm512_loadu_ps(from + j));
#endif
    for (; j < n; j++)
        to[j] = from[j];
}

/* The same, with the exponentials in a row's own memory and the quotients written past the cache. */
void softmax_streamed(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n)
{
#pragma omp parallel
    {
        float *row = malloc(sizeof(float) * (size_t)n);
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < rows; i++) {
            softmax_of_row(x + i * n, row, n);
            write_past_cache(y + i * n, row, n);
        }
        free(row);
#ifdef __AVX512F__
        _mm_sfence();
#endif
    }
}

/* What the memory alone costs. */
void copy(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n)
{
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < rows; i++)
#pragma omp simd
        for (ptrdiff_t j = 0; j < n; j++)
            y[i * n + j] = x[i * n + j] * 2.0f;
}

void copy_streamed(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n)
{
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < rows; i++)
            write_past_cache(y + i * n, x + i * n, n);
#ifdef __AVX512F__
        _mm_sfence();
#endif
    }
}

/* The gradient of sum(gelu(x)^2), gelu with tanh. */
void gelu(const float *x, float *y, ptrdiff_t n)
{
    const float c = 0.79788456f, d = 0.044715f;
#pragma omp parallel for simd schedule(static)
    for (ptrdiff_t i = 0; i < n; i++) {
        float v = x[i], square = v * v, t = fast_tanh(c * fmaf(d * square, v, v)), phi = 0.5f * (1.0f + t);
        float slope = c * fmaf(3.0f * d, square, 1.0f) * 0.5f * fmaf(-t, t, 1.0f);
        y[i] = 2.0f * v * phi * fmaf(v, slope, phi);
    }
}

/* Prices and their derivatives by spot, rate and volatility. */
void black_scholes(const float *spot, const float *strike, const float *time, const float *rate,
                   const float *volatility, float *price, float *delta, float *rho, float *vega, ptrdiff_t n)
{
#pragma omp parallel for simd schedule(static)
    for (ptrdiff_t i = 0; i < n; i++) {
        float root = sqrtf(time[i]), v = volatility[i], spread = v * root;
        float d1 = fmaf(fmaf(0.5f * v, v, rate[i]), time[i], fast_log(spot[i] / strike[i])) / spread;
        float d2 = d1 - spread, discounted = strike[i] * fast_exp(-rate[i] * time[i]);
        float p1 = fast_cdf(d1), p2 = fast_cdf(d2);
        price[i] = spot[i] * p1 - discounted * p2;
        delta[i] = p1;
        rho[i] = time[i] * discounted * p2;
        vega[i] = spot[i] * 0.39894228f * fast_exp_of_square(d1 * 0.70710678f) * root;
    }
}

enum { BLOCK = 64 };

/* Piecewise linear between points around k[j], for a block of numbers. */
INLINE void between(const float *x, const int *k, const float *points, const float *values, float *y, int m, int count)
{
#pragma omp simd
    for (int j = 0; j < m; j++) {
        int upper = k[j] < 1 ? 1 : k[j] > count - 1 ? count - 1 : k[j], lower = upper - 1;
        float low = points[lower], share = (x[j] - low) / (points[upper] - low);
        share = share < 0.0f ? 0.0f : share > 1.0f ? 1.0f : share;
        y[j] = fmaf(share, values[upper] - values[lower], values[lower]);
    }
}

/* Steps of a bisection without branches, each for a whole block: how many points are not above x[j]. */
INLINE void bisect(const float *x, int *k, const float *points, int m, int count, int step)
{
    for (; step; step >>= 1)
#pragma omp simd
        for (int j = 0; j < m; j++) {
            int probe = k[j] + step <= count ? k[j] + step : count;
            k[j] = points[probe - 1] <= x[j] ? probe : k[j];
        }
}

void interpolation(const float *x, const float *points, const float *values, float *y, ptrdiff_t n, int count)
{
    int top = 1;
    while (2 * top <= count)
        top *= 2;
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < n; i += BLOCK) {
        int k[BLOCK] = {0}, m = n - i < BLOCK ? (int)(n - i) : BLOCK;
        bisect(x + i, k, points, m, count, top);
        between(x + i, k, points, values, y + i, m, count);
    }
}

/* The same with a table that says for each of `buckets` equal parts of the range how many points come before it. */
void interpolation_bucketed(const float *x, const float *points, const float *values, float *y, ptrdiff_t n,
                            int count)
{
    enum { MOST = 1 << 14 };
    static int first[MOST + 1];
    int buckets = 64;
    while (buckets < 4 * count && buckets < MOST)
        buckets *= 2;
    float low = points[0], scale = (float)buckets / (points[count - 1] - low), last = (float)(buckets - 1);
    int bucket = 0, most = 1, top = 1;
    for (int k = 0; k < count; k++) {
        float f = (points[k] - low) * scale;
        int own = (int)(f < last ? f : last);
        while (bucket <= own)
            first[bucket++] = k;
    }
    while (bucket <= buckets)
        first[bucket++] = count;
    for (int b = 0; b < buckets; b++)
        most = first[b + 1] - first[b] > most ? first[b + 1] - first[b] : most;
    while (2 * top <= most)
        top *= 2;
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < n; i += BLOCK) {
        int k[BLOCK], m = n - i < BLOCK ? (int)(n - i) : BLOCK;
#pragma omp simd
        for (int j = 0; j < m; j++) {
            float f = (x[i + j] - low) * scale;
            f = f < last ? f : last;
            k[j] = first[(int)(f > 0.0f ? f : 0.0f)];
        }
        bisect(x + i, k, points, m, count, top);
        between(x + i, k, points, values, y + i, m, count);
    }
}

/* Radix sort, least digits first, of words that hold a key of the floats' order and the number of the element. The
 * threads count and move a part each; stable. */
enum { DIGIT = 11, SIZE = 1 << DIGIT, PARTS = 2 };

void argsort(const float *x, int32_t *order, ptrdiff_t n)
{
    uint64_t *a = malloc(8 * (size_t)n), *b = malloc(8 * (size_t)n);
    static uint32_t counts[PARTS][SIZE];
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t key = (uint32_t)bits_of(x[i] + 0.0f);
        key ^= key >> 31 ? 0xffffffffu : 0x80000000u;
        a[i] = (uint64_t)key << 32 | (uint64_t)i;
    }
    for (int shift = 32; shift < 64; shift += DIGIT) {
#pragma omp parallel for schedule(static)
        for (int part = 0; part < PARTS; part++) {
            memset(counts[part], 0, sizeof counts[part]);
            for (ptrdiff_t i = n * part / PARTS; i < n * (part + 1) / PARTS; i++)
                counts[part][a[i] >> shift & (SIZE - 1)]++;
        }
        uint32_t total = 0;
        for (int digit = 0; digit < SIZE; digit++)
            for (int part = 0; part < PARTS; part++) {
                uint32_t count = counts[part][digit];
                counts[part][digit] = total;
                total += count;
            }
#pragma omp parallel for schedule(static)
        for (int part = 0; part < PARTS; part++)
            for (ptrdiff_t i = n * part / PARTS; i < n * (part + 1) / PARTS; i++)
                b[counts[part][a[i] >> shift & (SIZE - 1)]++] = a[i];
        uint64_t *spare = a;
        a = b;
        b = spare;
    }
#pragma omp parallel for simd schedule(static)
    for (ptrdiff_t i = 0; i < n; i++)
        order[i] = (int32_t)a[i];
    free(a);
    free(b);
}

typedef float Vector __attribute__((vector_size(64), aligned(4)));

/* The logarithms of the columns' sums of exponentials: so many columns at a time that they stay in the second cache
 * between the pass for the maxima and that for the sums, which are added in parts of 64 rows. */
void logsumexp(const float *x, float *y, ptrdiff_t rows, ptrdiff_t columns)
{
    enum { WIDE = 96, PART = 64 };
#pragma omp parallel for schedule(static)
    for (ptrdiff_t first = 0; first < columns; first += WIDE) {
        ptrdiff_t n = columns - first < WIDE ? columns - first : WIDE;
        float top[WIDE], sum[WIDE] = {0};
        for (ptrdiff_t j = 0; j < WIDE; j++)
            top[j] = -INFINITY;
        for (ptrdiff_t i = 0; i < rows; i++) {
            const float *row = x + i * columns + first;
#pragma omp simd
            for (ptrdiff_t j = 0; j < n; j++)
                top[j] = row[j] > top[j] ? row[j] : top[j];
        }
        for (ptrdiff_t i = 0; i < rows;) {
            ptrdiff_t stop = i + PART < rows ? i + PART : rows;
            float part[WIDE] = {0};
            for (; i < stop; i++) {
                const float *row = x + i * columns + first;
#pragma omp simd
                for (ptrdiff_t j = 0; j < n; j++)
                    part[j] += fast_exp(row[j] - top[j]);
            }
#pragma omp simd
            for (ptrdiff_t j = 0; j < n; j++)
                sum[j] += part[j];
        }
#pragma omp simd
        for (ptrdiff_t j = 0; j < n; j++)
            y[first + j] = top[j] + fast_log(sum[j]);
    }
}

enum { PLANE = 200, ROW = 50 }; /* of the array whose mean and variance are taken */

INLINE float sum_of(Vector v)
{
    float sum = 0.0f;
    for (int k = 0; k < 16; k++)
        sum += v[k];
    return sum;
}

/* Means and variances over the first and the last dimension, in two passes, and maxima over the second dimension in
 * the first of them. Each thread has the planes of a part of the first dimension. */
void variance(const float *x, float *mean, float *spread, float *most, ptrdiff_t planes)
{
    enum { LANES = 16, WHOLE = ROW / LANES * LANES };
    float sums[PLANE] = {0}, squares[PLANE] = {0}, scale = 1.0f / (float)(planes * ROW);
#pragma omp parallel
    {
        float own[PLANE][LANES] = {{0}};
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < planes; i++) {
            float top[ROW];
            for (int k = 0; k < ROW; k++)
                top[k] = -INFINITY;
            for (int j = 0; j < PLANE; j++) {
                const float *row = x + (i * PLANE + j) * ROW;
                Vector sum = *(Vector *)own[j];
                for (int k = 0; k < WHOLE; k += LANES)
                    sum += *(const Vector *)(row + k);
                *(Vector *)own[j] = sum;
                for (int k = WHOLE; k < ROW; k++)
                    own[j][k - WHOLE] += row[k];
#pragma omp simd
                for (int k = 0; k < ROW; k++)
                    top[k] = row[k] > top[k] ? row[k] : top[k];
            }
            memcpy(most + i * ROW, top, sizeof top);
        }
#pragma omp critical
        for (int j = 0; j < PLANE; j++)
            sums[j] += sum_of(*(Vector *)own[j]);
#pragma omp barrier
        memset(own, 0, sizeof own);
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < planes; i++)
            for (int j = 0; j < PLANE; j++) {
                const float *row = x + (i * PLANE + j) * ROW;
                float middle = sums[j] * scale;
                Vector sum = *(Vector *)own[j];
                for (int k = 0; k < WHOLE; k += LANES) {
                    Vector v = *(const Vector *)(row + k) - middle;
                    sum += v * v;
                }
                *(Vector *)own[j] = sum;
                for (int k = WHOLE; k < ROW; k++)
                    own[j][k - WHOLE] += (row[k] - middle) * (row[k] - middle);
            }
#pragma omp critical
        for (int j = 0; j < PLANE; j++)
            squares[j] += sum_of(*(Vector *)own[j]);
    }
    for (int j = 0; j < PLANE; j++) {
        mean[j] = sums[j] * scale;
        spread[j] = squares[j] * scale;
    }
}

/* Each thread has sums of its own; numbers count from the end if negative, and those out of range are left out. */
void segment_sum(const float *values, const int32_t *segments, float *sums, ptrdiff_t n, int count)
{
    memset(sums, 0, sizeof(float) * (size_t)count);
#pragma omp parallel
    {
        float *own = calloc((size_t)count, sizeof(float));
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < n; i++) {
            int32_t k = segments[i];
            k += k < 0 ? count : 0;
            if ((uint32_t)k < (uint32_t)count)
                own[k] += values[i];
        }
#pragma omp critical
        for (int k = 0; k < count; k++)
            sums[k] += own[k];
        free(own);
    }
}

/* Conway's Life on a torus: rows with their neighbours on both sides, in two arrays that change roles. */
void life(const int32_t *start, int32_t *cells, ptrdiff_t rows, ptrdiff_t n, int steps)
{
    ptrdiff_t wide = n + 32;
    size_t bytes = sizeof(int32_t) * (size_t)((rows + 2) * wide);
    int32_t *a = aligned_alloc(64, (bytes + 63) / 64 * 64), *b = aligned_alloc(64, (bytes + 63) / 64 * 64);
    for (ptrdiff_t i = 0; i < rows + 2; i++) {
        int32_t *row = a + i * wide + 16;
        memcpy(row, start + (i + rows - 1) % rows * n, sizeof(int32_t) * (size_t)n);
        row[-1] = row[n - 1];
        row[n] = row[0];
    }
    for (int step = 0; step < steps; step++) {
#pragma omp parallel for schedule(static)
        for (ptrdiff_t i = 1; i <= rows; i++) {
            const int32_t *up = a + (i - 1) * wide + 16, *row = up + wide, *down = row + wide;
            int32_t *to = b + i * wide + 16;
#pragma omp simd
            for (ptrdiff_t j = 0; j < n; j++) {
                int32_t sum = up[j - 1] + up[j] + up[j + 1] + row[j - 1] + row[j + 1] + down[j - 1] + down[j] + down[j + 1];
                to[j] = (sum == 3) | ((row[j] == 1) & (sum == 2));
            }
            to[-1] = to[n - 1];
            to[n] = to[0];
        }
        memcpy(b, b + rows * wide, sizeof(int32_t) * (size_t)wide);
        memcpy(b + (rows + 1) * wide, b + wide, sizeof(int32_t) * (size_t)wide);
        int32_t *spare = a;
        a = b;
        b = spare;
    }
    for (ptrdiff_t i = 0; i < rows; i++)
        memcpy(cells + i * n, a + (i + 1) * wide + 16, sizeof(int32_t) * (size_t)n);
    free(a);
    free(b);
}

/* tanh(A B) v for many matrices of 4x4, a matrix in a vector. */
void vmapped_products(const float *a, const float *b, const float *v, float *y, ptrdiff_t n)
{
    typedef int Lanes __attribute__((vector_size(64)));
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < n; i++) {
        Vector left = *(const Vector *)(a + 16 * i), right = *(const Vector *)(b + 16 * i), product = {0};
        const Lanes rows = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12};
        const Lanes columns = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
        for (int k = 0; k < 4; k++)
            product += __builtin_shuffle(left, rows + k) * __builtin_shuffle(right, columns + 4 * k);
        float t[16], factor[16];
        memcpy(t, &product, sizeof t);
        for (int j = 0; j < 16; j++)
            factor[j] = v[4 * i + j % 4];
#pragma omp simd
        for (int j = 0; j < 16; j++)
            t[j] = fast_tanh(t[j]) * factor[j];
        for (int j = 0; j < 4; j++)
            y[4 * i + j] = (t[4 * j] + t[4 * j + 1]) + (t[4 * j + 2] + t[4 * j + 3]);
    }
}

void softplus(const double *x, double *y, ptrdiff_t n)
{
#pragma omp parallel for simd schedule(static)
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = fast_log1p_of_fraction(fast_exp_of_negative(fabs(x[i]))) + (x[i] > 0.0 ? x[i] : 0.0);
}

void polar(const float *x, const float *y, float *radius, float *angle, ptrdiff_t n)
{
#pragma omp parallel for simd schedule(static)
    for (ptrdiff_t i = 0; i < n; i++) {
        radius[i] = sqrtf(fmaf(x[i], x[i], y[i] * y[i]));
        angle[i] = fast_arctangent(y[i], x[i]);
    }
}

/* Axes (2, 0, 1) of an array of `planes` x `rows` x `n`, doubled: blocks of 16 x 16, read and written in lines. */
void permute(const float *x, float *y, ptrdiff_t planes, ptrdiff_t rows, ptrdiff_t n)
{
    enum { SIDE = 16 };
    ptrdiff_t all = planes * rows;
#pragma omp parallel for schedule(static)
    for (ptrdiff_t first = 0; first < all; first += SIDE)
        for (ptrdiff_t k = 0; k < n; k += SIDE) {
            ptrdiff_t high = all - first < SIDE ? all - first : SIDE, wide = n - k < SIDE ? n - k : SIDE;
            float block[SIDE][SIDE];
            for (ptrdiff_t i = 0; i < high; i++)
                for (ptrdiff_t j = 0; j < wide; j++)
                    block[j][i] = x[(first + i) * n + k + j] * 2.0f;
            for (ptrdiff_t j = 0; j < wide; j++)
                memcpy(y + (k + j) * all + first, block[j], sizeof(float) * (size_t)high);
        }
}

/* Each entry from the two before it. */
void recurrence(const float *start, float *y, ptrdiff_t n)
{
    y[0] = start[0];
    y[1] = start[1];
    for (ptrdiff_t i = 2; i < n; i++)
        y[i] = fmaf(0.3f, y[i - 2], fast_cos(y[i - 1]));
}
