//! The command under the lock: a program without a C library, so that it makes no call but these.
//!
//!     job         ends
//!     job fork    makes a child, which keeps the lock, and both end
//!     job close   closes the descriptors 3 to 127 first, as ssh and sudo do

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

// What it starts with stands on its stack: how many words, and where they are.
core::arch::global_asm!(
    ".globl schedules_job_begin, schedules_job_end",
    "schedules_job_begin:",
    "    cmp qword ptr [rsp], 1",
    "    jle 4f",
    "    mov rax, [rsp + 16]",
    "    cmp byte ptr [rax], 'c'",
    "    je 2f",
    "    mov eax, 57", // fork
    "    syscall",
    "    jmp 4f",
    "2:  mov ebx, 3",
    "3:  mov edi, ebx",
    "    mov eax, 3", // close
    "    syscall",
    "    inc ebx",
    "    cmp ebx, 128",
    "    jl 3b",
    "4:  mov eax, 231", // exit_group
    "    xor edi, edi",
    "    syscall",
    "schedules_job_end:",
);

unsafe extern "C" {
    static schedules_job_begin: u8;
    static schedules_job_end: u8;
}

/// Where it is loaded, as a whole.
const BASE: u64 = 0x40_0000;

/// The lengths of the header of an ELF file, and of the one segment's.
const HEADERS: (u16, u16) = (64, 56);

/// Writes it, as an executable that is loaded as it lies in the file.
pub fn write(path: &Path) {
    let begin = &raw const schedules_job_begin;
    let length = &raw const schedules_job_end as usize - begin as usize;
    // SAFETY: the two labels stand around the instructions above.
    let code = unsafe { std::slice::from_raw_parts(begin, length) };
    let start = u64::from(HEADERS.0 + HEADERS.1);
    let size = start + length as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
    put(&2u16.to_le_bytes()); // an executable,
    put(&62u16.to_le_bytes()); // for x86-64,
    put(&1u32.to_le_bytes());
    put(&(BASE + start).to_le_bytes()); // which starts here
    put(&u64::from(HEADERS.0).to_le_bytes());
    put(&0u64.to_le_bytes());
    put(&0u32.to_le_bytes());
    for number in [HEADERS.0, HEADERS.1, 1, 64, 0, 0] {
        put(&number.to_le_bytes());
    }
    put(&1u32.to_le_bytes()); // and has one segment: to be loaded,
    put(&5u32.to_le_bytes()); // read and executed.
    for number in [0, BASE, BASE, size, size, 0x1000] {
        put(&number.to_le_bytes());
    }
    put(code);
    fs::write(path, file).expect("the job");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the job's mode");
}
