//! What is known of a value while a callback is evaluated.

/// `constant + factor * userdata`, wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Linear {
    /// What does not depend on the callback's userdata.
    pub constant: u64,
    /// What does.
    pub factor: u64,
}

impl Linear {
    pub(super) const ZERO: Linear = Linear::constant(0);

    pub(super) const fn constant(constant: u64) -> Linear {
        Linear {
            constant,
            factor: 0,
        }
    }

    pub(super) fn plus(self, other: Linear) -> Linear {
        Linear {
            constant: self.constant.wrapping_add(other.constant),
            factor: self.factor.wrapping_add(other.factor),
        }
    }

    pub(super) fn times(self, n: u64) -> Linear {
        Linear {
            constant: self.constant.wrapping_mul(n),
            factor: self.factor.wrapping_mul(n),
        }
    }

    pub(super) fn as_constant(self) -> Option<u64> {
        (self.factor == 0).then_some(self.constant)
    }

    /// Its value.
    pub fn at(self, userdata: u64) -> u64 {
        self.constant
            .wrapping_add(self.factor.wrapping_mul(userdata))
    }
}

/// A value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing is known.
    #[default]
    Any,
    /// Does not depend on the vCPU.
    Known(Linear),
    /// The vCPU's number.
    Vcpu,
    /// An address, so far from the start of the vCPU's area.
    Area(Linear),
    /// What was there when as many additions had been made as `after` says, and something added.
    Counter {
        at: Linear,
        plus: Linear,
        after: usize,
    },
    /// An address, so far from the stack pointer at the entry.
    Stack(i64),
}

impl Value {
    pub(super) const ZERO: Value = Value::Known(Linear::ZERO);

    pub(super) fn constant(value: u64) -> Value {
        Value::Known(Linear::constant(value))
    }

    pub(super) fn plus(self, other: Value) -> Value {
        use Value::*;
        match (self, other) {
            (Known(a), Known(b)) => Known(a.plus(b)),
            (Area(a), Known(b)) | (Known(b), Area(a)) => Area(a.plus(b)),
            (Counter { at, plus, after }, Known(b)) | (Known(b), Counter { at, plus, after }) => {
                let plus = plus.plus(b);
                Counter { at, plus, after }
            }
            (Stack(a), Known(b)) | (Known(b), Stack(a)) => match b.as_constant() {
                Some(b) => Stack(a.wrapping_add_unsigned(b)),
                None => Any,
            },
            _ => Any,
        }
    }

    pub(super) fn minus(self, other: Value) -> Value {
        match other {
            Value::Known(b) => self.plus(Value::Known(b.times(u64::MAX))),
            _ => Value::Any,
        }
    }

    pub(super) fn times(self, n: u64) -> Value {
        match self {
            Value::Known(a) => Value::Known(a.times(n)),
            value if n == 1 => value,
            _ => Value::Any,
        }
    }

    /// The low half, extended with zeros.
    pub(super) fn low_half(self) -> Value {
        match self {
            Value::Vcpu => Value::Vcpu,
            Value::Known(a) => match a.as_constant() {
                Some(a) => Value::constant(u64::from(a as u32)),
                None => Value::Any,
            },
            _ => Value::Any,
        }
    }

    pub(super) fn as_constant(self) -> Option<u64> {
        match self {
            Value::Known(a) => a.as_constant(),
            _ => None,
        }
    }
}
