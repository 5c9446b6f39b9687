//! The matrix product: what is refused, how much scratch is asked for, strides that do not matter.

mod product;

use product::CANARY;
use slimfit_kernels::activation::Activation;
use slimfit_kernels::gemm::{
    Epilogue, IN_PLACE_K, Plan, gemm, gemm_part, row_major_scratch_len, scratch_len,
};
use slimfit_kernels::{Error, Level, MatMut, MatRef};

#[test]
fn scratch_never_falls() {
    let sizes = [
        0, 1, 2, 15, 16, 17, 23, 24, 47, 48, 64, 65, 95, 96, 97, 127, 128, 200, 248, 249, 263, 264,
        265, 326, 511, 512, 513, 640, 641, 1007, 1008, 1023, 1024, 1040, 2048,
    ];
    for m in sizes {
        for n in sizes {
            for k in sizes {
                let len = scratch_len(m, n, k);
                assert!(row_major_scratch_len(m, n, k) <= len, "{m} {n} {k}");
                assert!(len <= scratch_len(m + 1, n, k), "{m} {n} {k}");
                assert!(len <= scratch_len(m, n + 1, k), "{m} {n} {k}");
                assert!(len <= scratch_len(m, n, k + 1), "{m} {n} {k}");
            }
        }
    }
    // The bounds that its documentation states.
    let largest = usize::MAX;
    let most = if cfg!(target_arch = "x86_64") { 1_200_000 } else { 600_000 };
    for (m, bound) in [(47, 33_000), (128, 118_000), (largest, most)] {
        assert!(scratch_len(m, largest, largest) <= bound, "{m}");
    }
}

/// All elements in one place.
fn view_of_ones(rows: usize, cols: usize) -> MatRef<'static> {
    MatRef::with_strides(&[1.0], rows, cols, 0, 0).unwrap()
}

#[test]
fn misfits_are_refused_and_nothing_is_written() {
    let data = [1.0_f32; 64];
    let view = |rows, cols| MatRef::new(&data[..rows * cols], rows, cols).unwrap();
    let good = (view(3, 4), view(4, 5));
    let (bias, short_bias) = (&data[..5], &data[..4]);
    let mut scratch = [0.0; scratch_len(3, 5, 4)];
    for level in Level::available() {
        let mut c = [CANARY; 15];
        let mut refused = |(lhs, rhs), epilogue, plan: Option<Plan>, scratch: &mut [f32]| {
            let out = MatMut::new(&mut c, 3, 5).unwrap();
            let result = match plan {
                None => gemm(level, 1.0, lhs, rhs, 0.0, out, epilogue, scratch),
                Some(plan) => gemm_part(level, plan, 1.0, lhs, rhs, 0.0, out, epilogue, scratch),
            };
            assert_eq!(c, [CANARY; 15]);
            result.unwrap_err()
        };
        let none = Epilogue::None;
        let error = refused((view(2, 4), good.1), none, None, &mut scratch);
        assert_eq!(error, Error::Shape { what: "lhs", expected: (3, 4), found: (2, 4) });
        let error = refused((good.0, view(3, 5)), none, None, &mut scratch);
        assert_eq!(error, Error::Shape { what: "rhs", expected: (4, 5), found: (3, 5) });
        let error = refused((good.0, view(4, 6)), none, None, &mut scratch);
        assert_eq!(error, Error::Shape { what: "rhs", expected: (4, 5), found: (4, 6) });
        let error = refused(good, Epilogue::Bias(short_bias), None, &mut scratch);
        assert_eq!(error, Error::Length { what: "bias", expected: 5, found: 4 });
        let relu = Activation::Relu;
        let epilogue = Epilogue::BiasActivation(short_bias, relu);
        assert!(matches!(refused(good, epilogue, None, &mut scratch), Error::Length { .. }));
        let error = refused(good, Epilogue::Derivative(relu, view(5, 3)), None, &mut scratch);
        assert_eq!(error, Error::Shape { what: "saved", expected: (3, 5), found: (5, 3) });
        let leaky = Activation::LeakyRelu(-0.5);
        for epilogue in [
            Epilogue::BiasActivation(bias, leaky),
            Epilogue::Derivative(leaky, view(3, 5)),
            Epilogue::DerivativeInPlace(leaky),
        ] {
            let error = refused(good, epilogue, None, &mut scratch);
            assert!(matches!(error, Error::Parameter { .. }));
        }
        let in_columns = (good.0, view(5, 4).t());
        // A level of one number a register packs nothing and needs none.
        if let Some(short) = scratch.get_mut(1..) {
            let (expected, found) = (scratch_len(3, 5, 4), short.len());
            let error = refused(in_columns, Epilogue::Bias(bias), None, short);
            assert_eq!(error, Error::Length { what: "scratch", expected, found });
        }
        let long = (view_of_ones(3, IN_PLACE_K + 1), view_of_ones(IN_PLACE_K + 1, 5));
        let error = refused(long, Epilogue::DerivativeInPlace(relu), None, &mut scratch);
        assert!(matches!(error, Error::Length { expected: IN_PLACE_K, .. }));
        for (m, n, k) in [(2, 5, 4), (3, 4, 4), (3, 5, 5), (3, 5, 3)] {
            refused(good, none, Some(Plan::new(m, n, k)), &mut scratch);
        }
    }
}

#[test]
fn the_stride_of_a_single_row_or_column_does_not_matter() {
    let huge = usize::MAX;
    let data = [1.0, 2.0, 3.0];
    let row = MatRef::with_strides(&data, 1, 3, huge, 1).unwrap();
    let column = MatRef::with_strides(&data, 3, 1, 1, huge).unwrap();
    let one = MatRef::with_strides(&data[1..], 1, 1, huge, huge).unwrap();
    for level in Level::available() {
        let mut scratch = [0.0; scratch_len(3, 3, 3)];
        for (lhs, rhs, expected) in [
            (row, column, &[14.0][..]),
            (column, row, &[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 3.0, 6.0, 9.0]),
            (column, one, &[2.0, 4.0, 6.0]),
            (one, row, &[2.0, 4.0, 6.0]),
        ] {
            let (m, n) = (lhs.rows(), rhs.cols());
            let mut c = [0.0; 9];
            let row_stride = if m == 1 { huge } else { n };
            let out = MatMut::with_strides(&mut c, m, n, row_stride, if n == 1 { huge } else { 1 });
            gemm(level, 1.0, lhs, rhs, 0.0, out.unwrap(), Epilogue::None, &mut scratch).unwrap();
            assert_eq!(&c[..m * n], expected, "{level}");
        }
    }
}
