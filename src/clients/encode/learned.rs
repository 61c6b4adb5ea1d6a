//! How large what is not encoded yet will be, by what became of the values before it.

/// Values of a file, and what they have become so far, bytes.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Learned {
    values: u64,
    encoded: u64,
}

impl Learned {
    /// Notes values that were encoded, and their bytes in the file.
    pub(super) fn add(&mut self, values: u64, encoded: u64) {
        self.values = self.values.saturating_add(values);
        self.encoded = self.encoded.saturating_add(encoded);
    }

    /// The bytes in the file that so many bytes of values will be; `unknown` before there were any.
    pub(super) fn expected(self, values: u64, unknown: u64) -> u64 {
        if self.values == 0 {
            return unknown;
        }
        let product = u128::from(values).saturating_mul(u128::from(self.encoded));
        let expected = product.checked_div(u128::from(self.values)).unwrap_or_default();
        u64::try_from(expected).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_like_what_was_before() {
        let mut learned = Learned::default();
        assert_eq!(learned.expected(100, 70), 70);
        learned.add(1_000, 100);
        assert_eq!(learned.expected(100, 70), 10);
        learned.add(0, 0);
        learned.add(u64::MAX, 1);
        assert_eq!((learned.expected(0, 7), learned.expected(u64::MAX, 7)), (0, 101));
    }
}
