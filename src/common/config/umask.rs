//! A umask: the rights that files and directories do not get when they are made, as Hadoop writes
//! it in `fs.permissions.umask-mode`.

/// The bits of a mode that files and directories are made without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Umask(u32);

/// Hadoop's own default.
impl Default for Umask {
    fn default() -> Umask {
        Umask(0o022)
    }
}

impl Umask {
    /// Reads `027`, or the rights that are left, as Hadoop has them, too: `u=rwx,g=rx,o=`.
    ///
    /// # Errors
    /// The text is neither, or takes rights from the owner, which is the daemon itself.
    pub fn parse(text: &str) -> Result<Umask, String> {
        let trimmed = text.trim();
        let bits = octal(trimmed)
            .or_else(|| symbolic(trimmed))
            .ok_or_else(|| format!("{text:?} is no umask; write \"027\", or \"u=rwx,g=rx,o=\""))?;
        if bits & 0o700 != 0 {
            return Err(format!(
                "{text:?} takes rights from the owner, and the owner is the daemon itself; write \
                 \"077\" for files that nobody else may read"
            ));
        }
        Ok(Umask(bits))
    }

    /// The mode of a new file.
    #[must_use]
    pub fn of_file(self) -> u32 {
        0o666 & !self.0
    }

    /// The mode of a new directory.
    #[must_use]
    pub fn of_directory(self) -> u32 {
        0o777 & !self.0
    }
}

fn octal(text: &str) -> Option<u32> {
    let digits = match text.len() {
        4 => text.strip_prefix('0')?,
        3 => text,
        _ => return None,
    };
    digits
        .bytes()
        .all(|b| (b'0'..=b'7').contains(&b))
        .then(|| u32::from_str_radix(digits, 8).ok())?
}

/// The rights of each class that is named; a class that is not named has none.
fn symbolic(text: &str) -> Option<u32> {
    let mut left = 0;
    for part in text.split(',') {
        let (classes, rights) = part.trim().split_once('=')?;
        let mut bits = 0;
        for right in rights.chars() {
            bits |= match right {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                '-' => 0,
                _ => return None,
            };
        }
        if classes.is_empty() {
            return None;
        }
        for class in classes.chars() {
            left |= bits
                & match class {
                    'u' => 0o700,
                    'g' => 0o070,
                    'o' => 0o007,
                    'a' => 0o777,
                    _ => return None,
                };
        }
    }
    Some(0o777 & !left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_are_read() {
        for (text, file, directory) in [
            ("022", 0o644, 0o755),
            (" 0027\n", 0o640, 0o750),
            ("000", 0o666, 0o777),
            ("077", 0o600, 0o700),
            ("u=rwx,g=rwx,o=", 0o660, 0o770),
            ("u=rwx, g=r-x, o=r-x", 0o644, 0o755),
            ("ug=rwx", 0o660, 0o770),
            ("a=rwx", 0o666, 0o777),
        ] {
            let umask = Umask::parse(text).unwrap();
            assert_eq!((umask.of_file(), umask.of_directory()), (file, directory), "{text:?}");
        }
        assert_eq!(Umask::parse("022"), Ok(Umask::default()));
    }

    #[test]
    fn what_is_no_umask_is_refused() {
        for text in ["", "22", "028", "1022", "+022", "g-w", "u=rwx,g", "x=r", "=r", "u=q", "0²²"]
        {
            let refused = Umask::parse(text).unwrap_err();
            assert!(refused.contains("is no umask"), "{text:?}: {refused}");
        }
        for text in ["777", "400", "g=rx"] {
            let refused = Umask::parse(text).unwrap_err();
            assert!(refused.contains("takes rights from the owner"), "{text:?}: {refused}");
        }
    }
}
