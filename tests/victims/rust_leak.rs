// Planted: a block of 12345 bytes is forgotten, through an inlined call and a generic one.
#[inline(always)]
fn make_inlined(bytes: usize) -> Vec<u8> {
    Vec::with_capacity(bytes)
}

#[inline(never)]
fn make_generic<T: Into<usize>>(bytes: T) -> Vec<u8> {
    make_inlined(bytes.into())
}

fn main() {
    std::mem::forget(make_generic(12345usize));
    println!("rust_leak: end");
}
