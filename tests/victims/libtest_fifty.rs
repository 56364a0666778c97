//! Fifty tests that allocate, start threads, print and panic, and one that loses a block, if it is
//! asked for.

macro_rules! tests {
    ($($name:ident)*) => { $(#[test] fn $name() { work(stringify!($name)); })* };
}

fn work(name: &str) {
    let texts: Vec<String> = (0..100).map(|number| format!("{name} {number}")).collect();
    println!("{}", texts.len());
    let length = std::thread::spawn(move || texts.iter().map(String::len).sum::<usize>());
    assert!(length.join().expect("no panic") > 0);
    let caught = std::thread::spawn(|| if std::hint::black_box(true) { panic!("on purpose") });
    assert!(caught.join().is_err());
}

tests! {
    a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 c0 c1 c2 c3 c4 c5 c6 c7 c8 c9
    d0 d1 d2 d3 d4 d5 d6 d7 d8 e0 e1 e2 e3 e4 e5 e6 e7 e8
}

#[test]
#[should_panic]
fn panics() {
    panic!("expected");
}

#[test]
fn returns() -> Result<(), String> {
    Ok(())
}

#[test]
#[ignore = "fifty_parallel_tests runs it by --include-ignored, once the others have shown nothing"]
fn loses() {
    std::hint::black_box(Box::leak(vec![1u8; 1237].into_boxed_slice()));
}
