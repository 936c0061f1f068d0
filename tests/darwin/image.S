/* The Mach-O as it is, in the program: one file that needs nothing else to start. */
    .section .rodata
    .globl macho_start, macho_end
    .balign 4096
macho_start:
    .incbin MACHO
macho_end:
    .section .note.GNU-stack,"",%progbits

    .text
    .globl thread_local_address
    .type thread_local_address, %function
/* What __tlv_bootstrap stands for (dyld, threadLocalHelpers.s): the address of a thread-local variable, with
   every register but that of the result, and those that a linker's veneer may use, as it was. There is one
   thread. */
#if defined __x86_64__
thread_local_address:
    movq 16(%rdi), %rax
    addq thread_locals(%rip), %rax
    ret
#elif defined __aarch64__
thread_local_address:
    adrp x16, thread_locals
    ldr x16, [x16, :lo12:thread_locals]
    ldr x0, [x0, 16]
    add x0, x0, x16
    ret
#endif
