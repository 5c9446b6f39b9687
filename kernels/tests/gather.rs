//! Gathered rows beside a loop over elements, at every level.

use slimfit_kernels::{Error, Level, gather_rows};

#[test]
fn rows_come_in_the_order_asked_for() {
    for level in Level::available() {
        for cols in (1..=40).chain([64, 100, 129]) {
            let count = 7;
            let data: Vec<f32> = (0..count * cols).map(|i| i as f32).collect();
            let rows = [3, 0, 6, 6, 1];
            // One number before and one after, which must stay.
            let mut out = vec![-1.0; rows.len() * cols + 2];
            let end = out.len() - 1;
            gather_rows(level, &data, cols, &rows, &mut out[1..end]).unwrap();
            let expected: Vec<f32> =
                rows.iter().flat_map(|row| data[row * cols..][..cols].to_vec()).collect();
            assert_eq!(out[1..end], expected, "{level} {cols}");
            assert_eq!((out[0], out[end]), (-1.0, -1.0), "{level} {cols}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = [1.0; 12];
    for level in Level::available() {
        for (data, cols, rows, len) in [
            (&data[..11], 3, &[0][..], 3),
            (&data[..], 3, &[0, 4], 6),
            (&data, 1, &[12], 1),
            (&data, 3, &[usize::MAX], 3),
            (&data, 3, &[0, 1], 5),
            (&data, 0, &[0], 0),
            (&[], 3, &[0], 3),
        ] {
            let mut out = vec![7.0; len];
            let result = gather_rows(level, data, cols, rows, &mut out);
            assert!(matches!(result, Err(Error::Length { .. })), "{level} {cols} {rows:?}");
            assert!(out.iter().all(|&x| x == 7.0));
        }
        assert!(gather_rows(level, &[], 3, &[], &mut []).is_ok());
        assert!(gather_rows(level, &[], 0, &[], &mut []).is_ok());
    }
}
