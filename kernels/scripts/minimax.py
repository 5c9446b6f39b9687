#!/usr/bin/env python3
"""Finds the polynomial coefficients that stand in kernels/src/math/*.rs.

Each entry of SPECS asks for the polynomial P of a degree that makes max |W(x) (T(x) - P(x))| over an
interval small. T is what the kernel's essay names; the weight W turns the error of P into the
relative error of the function built from it (for erf's tail: into its absolute error).

The method is Remez's second algorithm on a dense grid of Chebyshev points, in 60 digits, where T's
cancellation near 0 does no harm. Rounding all coefficients to f32 at the end would throw away what
Remez has won, so they are rounded one at a time, the one that matters most (the lowest power)
first; each time the others are fitted anew against what is left.

    pip install mpmath
    python3 kernels/scripts/minimax.py [name ...]

prints, for each polynomial, the coefficients as they stand in the source (lowest power first) and the
weighted error in units of 2^-24, half an ULP of 1.
"""

import struct
import sys

from mpmath import (
    cos, erf, erfc, exp, expm1, floor, frexp, ldexp, ln, log, log1p, lu_solve, matrix, mp, mpf, nint,
    pi, sqrt, tanh,
)

mp.dps = 60
GRID = 600


def to_f32(value):
    """The nearest f32 (no coefficient here is subnormal or a tie)."""
    if value == 0:
        return mpf(0)
    mantissa, exponent = frexp(value)
    return ldexp(nint(ldexp(mantissa, 24)), exponent - 24)


def remez(target, weight, points, powers):
    """Coefficients of `powers` that minimise max |weight * (target - P)| over `points`."""
    count = len(powers)
    if count == 0:
        return [], max(abs(w * t) for t, w in zip(target, weight))
    last = len(points) - 1
    reference = [int(nint((1 - cos(pi * i / count)) / 2 * last)) for i in range(count + 1)]
    coefficients, worst = None, None
    for _ in range(60):
        system = matrix(count + 1, count + 1)
        right = matrix(count + 1, 1)
        for row, index in enumerate(reference):
            for column, power in enumerate(powers):
                system[row, column] = points[index] ** power
            system[row, count] = (-1) ** row / weight[index]
            right[row] = target[index]
        solution = lu_solve(system, right)
        coefficients = [solution[i] for i in range(count)]
        levelled = abs(solution[count])
        error = [
            w * (t - sum(c * x**p for c, p in zip(coefficients, powers)))
            for x, t, w in zip(points, target, weight)
        ]
        worst = max(abs(e) for e in error)
        if worst <= levelled * mpf("1.001"):
            break
        # The new reference: the largest error of each run of equal sign.
        extrema = []
        for index, e in enumerate(error):
            if extrema and (error[extrema[-1]] > 0) == (e > 0):
                if abs(e) > abs(error[extrema[-1]]):
                    extrema[-1] = index
            else:
                extrema.append(index)
        while len(extrema) > count + 1:
            if len(extrema) == count + 2:
                first, final = abs(error[extrema[0]]), abs(error[extrema[-1]])
                extrema.pop(0 if first < final else -1)
            else:
                gap = min(
                    range(len(extrema) - 1),
                    key=lambda i: max(abs(error[extrema[i]]), abs(error[extrema[i + 1]])),
                )
                del extrema[gap : gap + 2]
        if len(extrema) < count + 1:
            break
        reference = extrema
    return coefficients, worst


def fit(spec):
    low, high = spec["interval"]
    points = [
        (low + high) / 2 - (high - low) / 2 * cos(pi * (2 * i + 1) / (2 * GRID))
        for i in range(GRID)
    ]
    target = [spec["target"](x) for x in points]
    weight = [spec["weight"](x) for x in points]
    rounded = []
    worst = None
    best = None
    for power in range(spec["degree"] + 1):
        powers = list(range(power, spec["degree"] + 1))
        coefficients, worst = remez(target, weight, points, powers)
        best = best if best is not None else worst
        c = spec.get("fixed", {}).get(power, to_f32(coefficients[0]))
        rounded.append(c)
        target = [t - c * x**power for t, x in zip(target, points)]
    worst = max(abs(w * t) for t, w in zip(target, weight))
    return rounded, best, worst


def text(value):
    """The shortest decimal that reads back as this f32."""
    single = float(value)
    for digits in range(1, 12):
        decimal = f"{single:.{digits}g}"
        if struct.pack("f", float(decimal)) == struct.pack("f", single):
            return decimal
    return repr(single)


HALF_LN2 = ln(2) / 2
# Past the nearest-integer boundary, for the rounding of the quotient in f32.
SLACK = mpf("1.0001")

def mills(a):
    """Half of erfcx(a / sqrt 2): the normal tail over its exponential."""
    return erfc(a / sqrt(2)) * exp(a * a / 2) / 2


GELU_K = mpf(4)


def gelu_a(q):
    return GELU_K * (1 + q) / (1 - q)


def gelu_q(a):
    return (mpf(a) - GELU_K) / (mpf(a) + GELU_K)


SPECS = {
    # exp(r) = 1 + r + r^2 P(r); the relative error is that of exp(r) - 1, for tanh's sake.
    "exp": {
        "target": lambda r: (expm1(r) - r) / r**2,
        "weight": lambda r: r**2 / abs(expm1(r)),
        "interval": (-HALF_LN2 * SLACK, HALF_LN2 * SLACK),
        "degree": 4,
    },
    # The same for exp_m1, whose bound asks for more.
    "exp_m1": {
        "target": lambda r: (expm1(r) - r) / r**2,
        "weight": lambda r: r**2 / abs(expm1(r)),
        "interval": (-HALF_LN2 * SLACK, HALF_LN2 * SLACK),
        "degree": 5,
    },
    # ln(1 + f) = f + f^2 P(f); the constant is -1/2 once rounded.
    "ln": {
        "target": lambda f: (log1p(f) - f) / f**2,
        "weight": lambda f: abs(f**2 / log1p(f)),
        "interval": (-mpf(1) / 4, mpf(1) / 2),
        "degree": 8,
    },
    # erf(x) = x + x P(x^2) for |x| < 1
    "erf_near": {
        "target": lambda z: erf(sqrt(z)) / sqrt(z) - 1,
        "weight": lambda z: sqrt(z) / erf(sqrt(z)),
        "interval": (mpf(0), mpf(1)),
        "degree": 6,
    },
    # erfc(x) = 2^-P(x) for 1 <= x <= 4
    "erf_far": {
        "target": lambda x: -log(erfc(x), 2),
        "weight": lambda x: erfc(x) * ln(2),
        "interval": (mpf(1), mpf(4)),
        "degree": 6,
    },
    # 2^r, for erf's tail
    "exp2": {
        "target": lambda r: mpf(2) ** r,
        "weight": lambda r: mpf(2) ** -r,
        "interval": (-mpf(1) / 2, mpf(1) / 2),
        "degree": 4,
    },
    # tanh(x) = x + x^3 P(x^2) for |x| < 11/16
    "tanh_near": {
        "target": lambda z: (tanh(sqrt(z)) / sqrt(z) - 1) / z,
        "weight": lambda z: z * sqrt(z) / tanh(sqrt(z)),
        "interval": (mpf("1e-8"), (mpf(11) / 16) ** 2),
        "degree": 4,
    },
    # 2^r, for tanh
    "exp2_tanh": {
        "target": lambda r: mpf(2) ** r,
        "weight": lambda r: mpf(2) ** -r,
        "interval": (-mpf("0.5001"), mpf("0.5001")),
        "degree": 6,
    },
    # Mills' ratio: Phi(-a) = exp(-a^2/2) P(q) / (a + k), q = (a - k) / (a + k)
    "gelu": {
        "target": lambda q: (gelu_a(q) + GELU_K) * mills(gelu_a(q)),
        "weight": lambda q: 1 / ((gelu_a(q) + GELU_K) * mills(gelu_a(q))),
        "interval": (mpf(-1), gelu_q("14.5")),
        "degree": 9,
    },
}


def main():
    for name in sys.argv[1:] or SPECS:
        rounded, best, worst = fit(SPECS[name])
        print(f"{name}: {float(worst * 2**24):.4f} (before rounding {float(best * 2**24):.4f}) x 2^-24")
        print("    [" + ", ".join(text(c) for c in rounded) + "]")


if __name__ == "__main__":
    main()
