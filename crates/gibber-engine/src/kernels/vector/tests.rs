use super::*;

fn numbers(count: usize, scale: f32) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0 * 2.0 * scale - scale).collect()
}

fn close(found: f32, expected: f64, tolerance: f64) {
    assert!((f64::from(found) - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} not {expected}");
}

#[test]
fn exp_is_accurate_over_its_range_and_clamps_outside() {
    for i in -8699..=8800 {
        let x = i as f32 / 100.0;
        for found in [exp::<true>(x), exp::<false>(x)] {
            let exact = f64::from(x).exp();
            assert!((f64::from(found) / exact - 1.0).abs() < 3e-7, "e^{x}: {found} instead of {exact}");
        }
    }
    assert_eq!(exp::<false>(f32::NEG_INFINITY), 0.0);
    assert_eq!(exp::<false>(-1000.0), 0.0);
    assert!(exp::<false>(1000.0).is_finite());
    assert!(exp::<true>(f32::NAN).is_nan());
}

/// Its series, which converges quickly for what is tested.
fn error_function(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..100 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

#[test]
fn loops_agree_with_double_precision_at_every_length() {
    for n in [1, 2, 7, 8, 9, 31, 32, 33, 64, 100, 576, 1000] {
        let (x, w) = (numbers(n, 3.0), numbers(n + 1, 1.5));
        let w = &w[1..];
        let d = |v: f32| f64::from(v);
        let exact_dot: f64 = x.iter().zip(w).map(|(&a, &b)| d(a) * d(b)).sum();
        close(dot(&x, w), exact_dot, 1e-5);
        close(dot_body::<false>(&x, w), exact_dot, 1e-5);

        let mean_square = x.iter().map(|&x| d(x) * d(x)).sum::<f64>() / n as f64;
        let mean = x.iter().map(|&x| d(x)).sum::<f64>() / n as f64;
        let variance = x.iter().map(|&x| (d(x) - mean).powi(2)).sum::<f64>() / n as f64;
        let mut out = vec![f32::NAN; n];
        rms_norm(&x, w, 1e-5, &mut out);
        for i in 0..n {
            close(out[i], d(x[i]) / (mean_square + 1e-5).sqrt() * d(w[i]), 1e-5);
        }
        layer_norm(&x, w, &x, 1e-5, &mut out);
        for i in 0..n {
            close(out[i], (d(x[i]) - mean) / (variance + 1e-5).sqrt() * d(w[i]) + d(x[i]), 1e-5);
        }
        silu_mul(&x, w, &mut out);
        for i in 0..n {
            close(out[i], d(x[i]) / (1.0 + (-d(x[i])).exp()) * d(w[i]), 1e-5);
        }
        let mut out = x.clone();
        gelu_tanh(&mut out);
        for i in 0..n {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (d(x[i]) + 0.044715 * d(x[i]).powi(3));
            close(out[i], 0.5 * d(x[i]) * (1.0 + u.tanh()), 1e-5);
        }
        for cap in [0.7, 30.0] {
            let mut out = x.clone();
            softcap(&mut out, cap);
            for i in 0..n {
                close(out[i], d(cap) * (d(x[i]) / d(cap)).tanh(), 2e-6);
            }
        }
        let mut out = x.clone();
        gelu(&mut out);
        for i in 0..n {
            close(out[i], 0.5 * d(x[i]) * (1.0 + error_function(d(x[i]) / 2f64.sqrt())), 1e-6);
        }
        let mut out = x.clone();
        relu(&mut out);
        assert!(out.iter().zip(&x).all(|(out, x)| *out == x.max(0.0)));
        let mut out = x.clone();
        rms_norm_in_place(&mut out, w, 1e-5);
        let mut apart = vec![f32::NAN; n];
        rms_norm(&x, w, 1e-5, &mut apart);
        assert_eq!(out, apart);
        assert_eq!(max(&x), x.iter().copied().fold(f32::MIN, f32::max));
        let mut out = x.clone();
        let total = exp_in_place(&mut out, 3.0);
        let exact: f64 = x.iter().map(|&x| (d(x) - 3.0).exp()).sum();
        close(total, exact, 1e-5);
        let (s, w) = exp_sums(&x, 3.0);
        close(s as f32, exact, 1e-5);
        close(w as f32, x.iter().map(|&x| (d(x) - 3.0).exp() * (d(x) - 3.0)).sum(), 1e-5);
    }
}

#[test]
fn halves_are_the_nearest_ones() {
    let all = (0..=u16::MAX).map(half::f16::from_bits).filter(|half| half.is_finite()).map(half::f16::to_f32);
    // Each number of half precision, what lies a little beside it, and the middle between it and the next.
    let beside = |x: f32| [x, x * 1.0001, x * 0.9999, f32::from_bits(x.to_bits() + (1 << 12)), x + 2.98e-8];
    let values: Vec<f32> = all.flat_map(beside).chain([1e9, -1e9, 65519.0, 1e-30, -0.0]).collect();
    for chunk in values.chunks(BLOCK) {
        let mut x = [0.0; BLOCK];
        x[..chunk.len()].copy_from_slice(chunk);
        let mut out = [[0; 2]; BLOCK];
        to_f16(&x, &mut out);
        for (x, out) in x.into_iter().zip(out) {
            let exact = half::f16::from_f32(x.clamp(-65504.0, 65504.0));
            assert_eq!(u16::from_ne_bytes(out), exact.to_bits(), "{x:e}");
            assert_eq!(half_bits(x.clamp(-65504.0, 65504.0)), exact.to_bits(), "{x:e}");
        }
    }
}

#[test]
fn what_is_no_number_stays_none_in_whole_and_half_numbers() {
    for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x: Vec<f32> = (0..BLOCK).map(|i| i as f32 - 9.0).collect();
        assert!(are_finite(&x) && are_finite(&x[..3]));
        x[17] = wrong;
        assert!(!are_finite(&x) && !are_finite(&x[16..19]));
        let mut block = [Block::ZERO];
        quantize_blocks(&x, true, &mut block);
        assert!(block[0].scale.is_nan() && block[0].sums == [0, 0] && block[0].pairs == [0; BLOCK]);
    }
    let mut out = [[0; 2]; BLOCK];
    let mut x = [1.0; BLOCK];
    x[3] = f32::NAN;
    to_f16(&x, &mut out);
    assert!(half::f16::from_ne_bytes(out[3]).is_nan() && half::f16::from_ne_bytes(out[2]) == half::f16::ONE);
}

#[test]
fn a_logit_of_negative_infinity_has_no_mass_and_no_entropy() {
    let (sum, weighted) = exp_sums(&[0.0, f32::NEG_INFINITY], 0.0);
    assert_eq!((sum, weighted), (1.0, 0.0));
}
