//! Quantities of objects as numbers, for comparing them. What is no quantity was refused when the object was decoded.

use crate::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use crate::quantity;

fn parse(quantity: &Quantity) -> Option<quantity::Quantity> {
    quantity.0.parse().ok()
}

/// Whether the amount is below zero.
pub(crate) fn is_negative(quantity: &Quantity) -> bool {
    parse(quantity).is_some_and(|q| q.sign() < 0)
}

/// Whether the amount is above zero.
pub(crate) fn is_positive(quantity: &Quantity) -> bool {
    parse(quantity).is_some_and(|q| q.sign() > 0)
}

/// Whether the amount has no fraction.
pub(crate) fn is_whole(quantity: &Quantity) -> bool {
    parse(quantity).is_none_or(|q| q.is_integer())
}

/// Whether the first is more than the second.
pub(crate) fn exceeds(a: &Quantity, b: &Quantity) -> bool {
    matches!((parse(a), parse(b)), (Some(a), Some(b)) if a > b)
}

/// Whether both are the same amount, however they are written.
pub(crate) fn equal(a: &Quantity, b: &Quantity) -> bool {
    a == b || matches!((parse(a), parse(b)), (Some(a), Some(b)) if a == b)
}

/// Resources are kept to thousandths: what is finer is rounded up.
pub(crate) fn round_to_milli(quantity: &mut Quantity) {
    if let Some(q) = parse(quantity).filter(|q| q.nanos() % 1_000_000 != 0) {
        quantity.0 = format!("{}m", q.milli_value());
        if let Ok(Some(canonical)) = quantity::canonical(&quantity.0) {
            quantity.0 = canonical;
        }
    }
}
