// Adam as a C programmer writes it; the compiler makes vectors of the machine's full width of it.
#include <math.h>
#include <stddef.h>

static void part(size_t len, const float *restrict grad, float *restrict param,
                 float *restrict first, float *restrict second, float rate, float epsilon,
                 float beta1, float beta2) {
    for (size_t i = 0; i < len; i++) {
        float g = grad[i];
        float m = beta1 * first[i] + (1.0f - beta1) * g;
        float v = beta2 * second[i] + (1.0f - beta2) * g * g;
        first[i] = m;
        second[i] = v;
        param[i] -= rate * m / (sqrtf(v) + epsilon);
    }
}

void adam(size_t len, const float *grad, float *param, float *first, float *second, float rate,
          float epsilon, float beta1, float beta2, int threads) {
#pragma omp parallel for num_threads(threads)
    for (int t = 0; t < threads; t++) {
        size_t from = len * t / threads, to = len * (t + 1) / threads;
        part(to - from, grad + from, param + from, first + from, second + from, rate, epsilon,
             beta1, beta2);
    }
}
