//! The heap core against a model: every size class, large alignments, absurd requests, refusal of
//! each request for memory in turn, thresholds. Random scripts are in `fuzz_scripts.rs`.

use mallocop::heap::Layout;
use mallocop::heap::size::{MAX_PAYLOAD, PAGE};
use mallocop_fuzz::heap_player::HeapPlayer;
use mallocop_fuzz::random::Random;

const KEY: u64 = 0x1bad_b002_cafe_f00d;

fn random_layout(random: &mut Random) -> Layout {
    let size = match random.below(10) {
        0..=5 => random.below(200),
        6 | 7 => random.below(4096),
        8 => random.below(100_000),
        _ => random.below(600_000),
    };
    let align = if random.below(5) == 0 { 16 << random.below(10) } else { 16 };
    let lead = 16 * random.below(3);
    Layout { size: size + lead, align, lead }
}

#[test]
fn every_size_class_is_served_and_reused() {
    let mut player = HeapPlayer::new(64 << 20, KEY);
    player.memory.heap.tuning.dynamic = false;
    let mut sizes: Vec<usize> = (0..=1100).collect();
    sizes.extend((10..21).flat_map(|e| (0..8).map(move |k| (1usize << e) + (k << (e - 3)))));
    for &size in &sizes {
        assert!(player.allocate(Layout::plain(size)), "size {size}");
        assert!(player.allocate(Layout::plain(size)), "size {size}");
        player.release(0);
        player.release(0);
    }
    player.check();
    let held = player.memory.heap.usage().held;
    for &size in &sizes {
        assert!(player.allocate(Layout::plain(size)), "size {size}");
        player.release(0);
    }
    assert!(player.memory.heap.usage().held <= held, "freed memory was not reused");
}

#[test]
fn alignments_up_to_2_mib_are_kept() {
    let mut player = HeapPlayer::new(64 << 20, KEY);
    for exponent in 4..=21 {
        for lead in [0, 16, 32] {
            for size in [0, 1, 40, 1000, 5000, 200_000] {
                let layout = Layout { size: size + lead, align: 1 << exponent, lead };
                assert!(player.allocate(layout), "{layout:?}");
            }
            player.release(0);
            player.release(1);
            player.check();
            if exponent > 14 {
                player.release_all();
            }
        }
    }
    player.release_all();
}

#[test]
fn absurd_requests_are_refused() {
    let mut player = HeapPlayer::new(4 << 20, KEY);
    let before = player.memory.heap.usage();
    for size in [MAX_PAYLOAD, MAX_PAYLOAD + 1, isize::MAX as usize, usize::MAX - 64, usize::MAX] {
        for align in [16, 4096, 2 << 20, 1 << 62] {
            let layout = Layout { size, align, lead: 16 };
            assert_eq!(player.memory.heap.allocate(layout), Ok(None), "{layout:?}");
        }
    }
    assert_eq!(player.memory.heap.allocate(Layout { size: 64, align: 1 << 63, lead: 0 }), Ok(None));
    assert_eq!(player.memory.heap.usage(), before);
    player.check();
}

/// The script of the refusal test: returns how many requests for memory it made.
fn run_with_refusal(refuse: Option<usize>) -> usize {
    let mut random = Random::new(77);
    let mut player = HeapPlayer::new(24 << 20, KEY);
    player.memory.heap.pages().refuse_one = refuse;
    player.memory.heap.tuning.dynamic = false;
    for _ in 0..1500 {
        let layout = random_layout(&mut random);
        let index = random.below(player.model.live().len().max(1));
        match random.below(4) {
            0 if !player.model.live().is_empty() => player.release(index),
            1 if !player.model.live().is_empty() => {
                player.resize(index, layout.size);
            }
            _ => {
                player.allocate(layout);
            }
        }
        player.check();
    }
    player.release_all();
    player.memory.heap.pages().requests
}

#[test]
fn each_request_for_memory_can_be_refused() {
    let requests = run_with_refusal(None);
    assert!(requests > 30, "the script asks for memory only {requests} times");
    for refused in 0..requests {
        run_with_refusal(Some(refused));
    }
}

#[test]
fn thresholds_follow_freed_mappings_and_the_top_goes_back() {
    let mut player = HeapPlayer::new(64 << 20, KEY);
    assert!(player.allocate(Layout::plain(256 << 10)));
    assert_eq!(player.memory.heap.usage().mapped, 266_240);
    player.release(0);
    assert!(player.allocate(Layout::plain(256 << 10)));
    assert_eq!(player.memory.heap.usage().mapped, 0, "the threshold rises with the freed block");
    for _ in 0..20 {
        assert!(player.allocate(Layout::plain(100 << 10)));
    }
    let held = player.memory.heap.usage().held;
    player.release_all();
    assert!(player.memory.heap.usage().held < held / 2, "the top did not go back");
    assert!(player.memory.heap.trim(0));
    assert!(player.memory.heap.usage().held <= 2 * PAGE);
    player.check();
}
