/* void *allocate(size_t): malloc from a frame of FRAME bytes, with code of the same length for each. */
    .text
    .globl allocate
    .type allocate, @function
allocate:
    .cfi_startproc
    sub $FRAME, %rsp
    .cfi_adjust_cfa_offset FRAME
    call malloc@PLT
    add $FRAME, %rsp
    .cfi_adjust_cfa_offset -FRAME
    ret
    .cfi_endproc
    .size allocate, . - allocate
    .section .note.GNU-stack, "", @progbits
