// Nodes of a list and texts, as a parser's, with a look at every byte of the input: what the C
// target does.

#[cfg(feature = "crate")]
#[global_allocator]
static ALLOC: mallocop::Mallocop = mallocop::Mallocop::new();

struct Node {
    next: Option<Box<Node>>,
    text: Vec<u8>,
}

fn work(data: &[u8], allocations: usize) {
    let mut first: Option<Box<Node>> = None;
    for number in 0..allocations / 2 {
        let length = match data.len() {
            0 => 10,
            size => data[number % size] as usize % 100 + 1,
        };
        let text = vec![number as u8 | 1; length];
        first = Some(Box::new(Node { next: first.take(), text }));
    }
    let mut sum = 0u32;
    while let Some(node) = first {
        sum = sum.wrapping_add(u32::from(node.text[0]));
        first = node.next;
    }
    for &byte in data {
        sum = sum.wrapping_mul(31).wrapping_add(u32::from(byte));
    }
    std::hint::black_box(sum);
}
