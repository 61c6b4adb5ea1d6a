//! Numbers of Avro: lengths as they are written, and decimals, which may have more digits than a
//! long.

/// Adds a length or a count as Avro writes numbers: doubled, because numbers have signs, and in
/// seven bits a byte, the lowest first.
pub fn push_long(number: usize, out: &mut Vec<u8>) {
    let mut left = (number as u64).wrapping_shl(1);
    while 0x7f < left {
        out.push((left as u8 & 0x7f) | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// A number in two's complement, the highest byte first; [`None`] if it has more than 128 bits.
#[must_use]
pub fn whole(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let filler = if negative { 0xff } else { 0 };
    let surplus = bytes.len().saturating_sub(16);
    let (front, back) = bytes.split_at_checked(surplus)?;
    let sign_stays = back.first().is_none_or(|byte| (byte & 0x80 != 0) == negative);
    if !sign_stays || front.iter().any(|byte| *byte != filler) {
        return None;
    }
    let mut all = [filler; 16];
    all.get_mut(16_usize.checked_sub(back.len())?..)?.copy_from_slice(back);
    Some(i128::from_be_bytes(all))
}

/// A number that has no point, with the point before its last digits; `scale`: how many these are.
#[must_use]
pub fn digits(number: i128, scale: u8) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    let width = scale.saturating_add(1);
    let digits = format!("{:0width$}", number.unsigned_abs());
    match digits.split_at_checked(digits.len().saturating_sub(scale)) {
        Some((whole, fraction)) if !fraction.is_empty() => format!("{sign}{whole}.{fraction}"),
        _ => format!("{sign}{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_twos_complement() {
        assert_eq!(whole(&[]), Some(0));
        assert_eq!(whole(&[0x80]), Some(-128));
        assert_eq!(whole(&[0, 0x80]), Some(128));
        assert_eq!(whole(&[0xff; 20]), Some(-1));
        assert_eq!(whole(&[1; 17]), None);
        let mut high = [0; 17];
        high[1] = 0x80;
        assert_eq!(whole(&high), None, "its sign would be lost");
        assert_eq!(digits(-7, 3), "-0.007");
        assert_eq!(digits(12, 0), "12");
    }
}
