//! The exit codes of every program in the product: one documented list.

/// How a program ended. Scripts may rely on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// 0: done; for `verify` and `bucket check`: everything was checked and is good.
    Ok = 0,
    /// 1: the command line or the configuration is wrong; nothing was done.
    Usage = 1,
    /// 2: it was checked, and it is bad: evidence that does not verify, a document that is not
    /// valid, a bucket that cannot keep evidence.
    EvidenceBad = 2,
    /// 3: it could not be done or checked (unreadable file, no network); this says nothing about
    /// the evidence.
    CouldNotCheck = 3,
    /// 70: a fault in this program (`EX_SOFTWARE` of sysexits.h).
    Internal = 70,
}

impl ExitCode {
    /// The number itself, for `std::process::exit`.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_documented_ones() {
        let codes = [
            ExitCode::Ok,
            ExitCode::Usage,
            ExitCode::EvidenceBad,
            ExitCode::CouldNotCheck,
            ExitCode::Internal,
        ];
        assert_eq!(codes.map(ExitCode::code), [0, 1, 2, 3, 70]);
    }
}
