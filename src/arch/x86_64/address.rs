//! Addresses.

/// Programs' addresses have so many bits.
pub const ADDRESS_BITS: u32 = 47;

/// The bits of an address that the machine looks at; what is above may be a program's tag.
pub const ADDRESS_MASK: usize = (1 << 48) - 1;
