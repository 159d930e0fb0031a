use super::*;
use proptest::prelude::*;

fn at(x_ms: f64, y_ms: f64, height_ms: f64) -> Coord {
    Coord {
        x_ms,
        y_ms,
        height_ms,
    }
}

#[test]
fn distance_adds_both_heights() {
    let (a, b) = (at(0.0, 0.0, 5.0), at(30.0, 40.0, 7.0));
    assert_eq!(planar_distance_ms(&a, &b), 50.0);
    assert_eq!(distance_ms(&a, &b), 62.0);
    assert_eq!(distance_ms(&b, &a), 62.0);
}

#[test]
fn what_is_no_number_is_refused() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for (x, y, h) in [(bad, 0.0, 0.0), (0.0, bad, 0.0), (0.0, 0.0, bad)] {
            assert_eq!(Coord::checked(x, y, h), Err(InvalidCoord::NotFinite));
        }
    }
    assert_eq!(Coord::checked(0.0, 0.0, -1e-9), Err(InvalidCoord::NegativeHeight));
}

#[test]
fn what_lies_outside_is_moved_to_the_edge() {
    assert_eq!(Coord::checked(1e300, -1e300, 1e300), Ok(at(512.0, -512.0, 512.0)));
    assert_eq!(Coord::checked(-512.0, 511.5, 0.0), Ok(at(-512.0, 511.5, 0.0)));
}

#[test]
fn serde_goes_through_the_check() {
    let coord = at(1.5, -2.25, 3.0);
    let json = serde_json::to_string(&coord).unwrap();
    assert_eq!(json, r#"{"x_ms":1.5,"y_ms":-2.25,"height_ms":3.0}"#);
    assert_eq!(serde_json::from_str::<Coord>(&json).unwrap(), coord);
    let packed = rmp_serde::to_vec(&coord).unwrap();
    assert_eq!(rmp_serde::from_slice::<Coord>(&packed).unwrap(), coord);

    let error = rmp_serde::from_slice::<Coord>(&rmp_serde::to_vec(&(f64::NAN, 0.0, 0.0)).unwrap());
    assert!(error.unwrap_err().to_string().contains("not a finite number"));
    let error = rmp_serde::from_slice::<Coord>(&rmp_serde::to_vec(&(0.0, 0.0, -1.0)).unwrap());
    assert!(error.unwrap_err().to_string().contains("height is negative"));
    let far = rmp_serde::from_slice::<Coord>(&rmp_serde::to_vec(&(1e9, 0.0, 0.0)).unwrap()).unwrap();
    assert_eq!(far.x_ms, HALF_SIDE_MS);
}

proptest! {
    #[test]
    fn checked_is_valid_or_an_error(bits: [u64; 3]) {
        let [x, y, h] = bits.map(f64::from_bits);
        match Coord::checked(x, y, h) {
            Ok(coord) => prop_assert!(coord.is_valid()),
            Err(_) => prop_assert!(![x, y, h].iter().all(|v| v.is_finite()) || h < 0.0),
        }
    }
}
