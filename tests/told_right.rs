//! Reports that said something wrong once: leaks that were none, leaks that were missed,
//! suppressions that hid everything, programs that were called clean although nobody had looked.

mod harness;

use std::process::Command;

use harness::leaks::{direct, keeps, leaks};
use harness::{MALLOCOP, Ran, compile, finish, scratch, watched};

fn run(victim: &str, flags: &[&str]) -> Ran {
    let program = compile(&format!("{victim}.c"), victim, &[]);
    finish(&mut watched(flags, program))
}

#[test]
fn a_signal_stack_that_only_the_kernel_knows_is_no_leak() {
    keeps(&run("alternate_stack", &[]), "end\n");
}

#[test]
fn a_block_that_only_a_vector_register_leads_to_is_no_leak() {
    keeps(&run("vector_register", &[]), "end\n");
}

/// The ended thread's descriptor holds what it returned; nobody can ask for it any more.
#[test]
fn what_a_joined_thread_returned_and_nobody_keeps_is_a_leak() {
    let ran = run("returned_block", &[]);
    let found: Vec<_> =
        leaks(&ran).into_iter().filter(|(_, bytes, _)| [111, 222].contains(bytes)).collect();
    assert_eq!(found, [direct(222, 1), direct(111, 1)], "{}", ran.stderr);
    assert_eq!(ran.status, 23);
}

/// A leak in main has a rule of its innermost frames, which hides that one alone. Those of a loop
/// that the compiler has unrolled are one.
#[test]
fn a_leak_in_main_offers_a_rule_that_hides_no_other() {
    let program = compile("unrolled_leak.c", "unrolled_leak", &["-O2"]);
    let ran = finish(&mut watched(&[], &program));
    assert_eq!(leaks(&ran), [direct(77, 1), direct(150, 5)], "{}", ran.stderr);
    assert!(!ran.stderr.contains("leak:main\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("suppress with: leak:lose\n"), "{}", ran.stderr);
    let (_, rule) = ran.stderr.split_once("suppress with:\n").expect("a block");
    let (rule, _) = rule.split_once("    }\n").expect("its end");
    let file = scratch().join("main.supp");
    std::fs::write(&file, format!("{rule}}}\n")).expect("a file");
    let ran = finish(&mut watched(&[&format!("--suppressions={}", file.display())], &program));
    assert_eq!(leaks(&ran), [direct(150, 5)], "{}", ran.stderr);
}

/// With room for few stacks the others are stored as what is known of them further out: no rule is
/// offered for what every stack has, and it is said how often that was so.
#[test]
fn beyond_the_memory_for_stacks_their_outer_part_is_told() {
    let program = compile("many_stacks.c", "many_stacks", &["-O1"]);
    let ran = finish(&mut watched(&["--max-stack-memory-mb=1"], &program));
    assert_eq!((leaks(&ran), ran.status), (vec![direct(77, 1)], 23), "{}", ran.stderr);
    assert!(ran.stderr.contains("times a stack lost its innermost frames"));
    assert!(!ran.stderr.contains("innermost many_stacks.c"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("suppress with"), "{}", ran.stderr);
    let ran = finish(&mut watched(&[], &program));
    assert!(ran.stderr.contains("    #0 innermost "), "{}", ran.stderr);
    assert!(ran.stderr.contains("    #2 main "), "{}", ran.stderr);
    assert!(!ran.stderr.contains("without its innermost frames"), "{}", ran.stderr);
}

/// Written into room that the block's own chunk has left over: no other block is suspected.
#[test]
fn a_write_into_a_chunks_own_room_suspects_no_neighbour() {
    let ran = run("overflow_own_room", &["--guard=off"]);
    let found = "memory clobbered past end of a 1100-byte block";
    assert!(ran.stderr.contains(found), "{}", ran.stderr);
    assert!(ran.stderr.contains("offset +1112..+1119 changed (8 bytes)"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("the block behind"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("allocated by thread").count(), 1, "{}", ran.stderr);
    assert_eq!(ran.status, 134);
}

/// What a resize has found is told once, and the block is freed as any other.
#[test]
fn a_damaged_block_that_was_resized_is_freed_in_peace() {
    let program = compile("resize_smashed.c", "resize_smashed", &[]);
    for moves in ["--realloc-moves=all", "--realloc-moves=none"] {
        let ran = finish(&mut watched(&["--halt-on-error=0", moves], &program));
        assert_eq!(ran.stderr.matches("==ERROR: mallocop: ").count(), 1, "{}", ran.stderr);
        let words = "found when a block was resized by thread T0 \"main\" here:";
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        assert_eq!(ran.status, 23, "{}", ran.stderr);
    }
}

/// 2100 libraries of one place, of which only the last is another: its frames are its own.
#[test]
fn a_plugin_beyond_two_thousand_others_is_named() {
    let program = compile("many_plugins.c", "many_plugins", &[]);
    let library = |size: &str, name: &str| {
        let flags = ["-shared", "-fPIC", &format!("-DSIZE={size}")];
        compile("reload_other_lib.c", name, &flags)
    };
    let (alpha, beta) = (library("1111", "many_alpha.so"), library("2222", "many_beta.so"));
    let folder = scratch().join("plugins");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut names = String::new();
    for number in 0..2100 {
        let link = folder.join(format!("{number}.so"));
        let _ = std::fs::remove_file(&link);
        std::fs::hard_link(&alpha, &link).expect("a link");
        names += &format!("{}\n", link.display());
    }
    names += &format!("{}\n", beta.display());
    let list = scratch().join("plugins.txt");
    std::fs::write(&list, names).expect("a file");
    let ran = finish(watched(&[], &program).arg(&list));
    assert_eq!(leaks(&ran)[0], direct(2222, 1), "{}", ran.stderr);
    let lost = "definitely lost: 2335322 bytes in 2101 blocks";
    assert!(ran.stderr.contains(lost), "{}", ran.stderr);
    let places = |line: &str| ran.stderr.lines().filter(|found| found.contains(line)).count();
    assert_eq!(places("/beta.c:20:"), 1, "{}", ran.stderr);
    assert_eq!(places("#0 "), places("#0 alpha ") + places("#0 beta "), "{}", ran.stderr);
}

#[test]
fn a_program_with_a_malloc_of_its_own_is_not_called_clean() {
    let program = compile("own_malloc.c", "own_malloc", &[]);
    let unseen = "the program defines its own malloc: nothing was checked";
    let ran = finish(&mut watched(&[], &program));
    assert!(ran.stderr.contains(unseen), "{}", ran.stderr);
    assert!(!ran.stderr.contains("no leaks"), "{}", ran.stderr);
    // As a child, and without the command.
    let ran = finish(watched(&[], "sh").args(["-c", "\"$0\"; true"]).arg(&program));
    let child = "own_malloc defines its own malloc, so its blocks were not checked";
    assert!(ran.stderr.contains(child), "{}", ran.stderr);
    let library = finish(Command::new(MALLOCOP).arg("library")).stdout;
    let ran = finish(Command::new(&program).env("LD_PRELOAD", library.trim_end()));
    assert!(ran.stderr.contains(unseen), "{}", ran.stderr);
}

#[test]
fn a_pointer_of_our_own_fill_is_explained() {
    let program = compile("free_fill.c", "free_fill", &[]);
    let run = |flags: &[&str], arguments: &[&str]| {
        let flags = [&["--guard=off"], flags].concat();
        let ran = finish(watched(&flags, &program).args(arguments));
        assert_eq!(ran.status, 134, "{}", ran.stderr);
        ran.stderr
    };
    // Of which block it is the fill is told.
    let (freed, fresh) = (run(&[], &[]), run(&[], &["fresh"]));
    assert!(freed.contains(" was read from a freed 48-byte block (bad-free)\n"), "{freed}");
    assert!(fresh.contains(" was read from a 48-byte block where nothing was written"), "{fresh}");
    // Bytes that the user has asked for are these, and tell no more than that.
    let freed = run(&["--free-fill-byte=0x55"], &[]);
    assert!(freed.contains("free(): invalid pointer: 0x5555555555555555"), "{freed}");
    let hint =
        "hint: freed memory is filled with these bytes: the pointer was read from a freed block";
    assert!(freed.contains(hint), "{freed}");
    let fresh = run(&["--malloc-fill-byte=0xbe"], &["fresh"]);
    assert!(fresh.contains("free(): invalid pointer: 0xbebebebebebebebe"), "{fresh}");
    assert!(fresh.contains("the pointer was read before it was written"), "{fresh}");
}

/// Frees of an address that stands for a state of ours were never told, and each made all others
/// slow.
#[test]
fn what_a_handler_frees_is_told_whatever_it_is() {
    let program = compile("free_in_handler.c", "free_in_handler", &[]);
    let ran = finish(&mut watched(&["--halt-on-error=0", "--max-sites=1"], program));
    assert!(ran.stderr.contains("free(): invalid pointer: 0x1 "), "{}", ran.stderr);
    assert_eq!(ran.stdout, "fast\n");
}

/// A program at a fixed address that takes malloc's address has one of its own for it.
#[test]
fn a_program_that_takes_mallocs_address_is_watched() {
    let program = compile("leak_by_address.c", "leak_by_address", &["-fno-pie", "-no-pie"]);
    let ran = finish(&mut watched(&[], program));
    assert_eq!(leaks(&ran), [direct(300, 1)], "{}", ran.stderr);
    assert!(!ran.stderr.contains("defines malloc"), "{}", ran.stderr);
}
