//! A system call that fails without the kernel's doing, by a seccomp filter. Linux only.

use std::collections::BTreeMap;

use libc::{c_int, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// A system call, or those of it that have this value as an argument.
#[derive(Clone, Copy)]
pub struct Call {
    numbers: &'static [c_long],
    argument: Option<(u8, c_int)>,
}

impl Call {
    pub fn any(numbers: &'static [c_long]) -> Call {
        Call {
            numbers,
            argument: None,
        }
    }

    pub fn with(numbers: &'static [c_long], place: u8, value: c_int) -> Call {
        Call {
            numbers,
            argument: Some((place, value)),
        }
    }

    /// The filter under which it fails so, and every other call goes through.
    pub fn refused_with(self, errno: c_int) -> BpfProgram {
        let rule = |(place, value): (u8, c_int)| {
            let equal = SeccompCondition::new(
                place,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::Eq,
                value as u64,
            );
            SeccompRule::new(vec![equal.unwrap()]).unwrap()
        };
        let rules: Vec<SeccompRule> = self.argument.map(rule).into_iter().collect();
        let rules: BTreeMap<_, _> = self
            .numbers
            .iter()
            .map(|&number| (number, rules.clone()))
            .collect();
        let refuse = SeccompAction::Errno(errno as u32);
        let architecture = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture);
        filter.unwrap().try_into().unwrap()
    }
}
