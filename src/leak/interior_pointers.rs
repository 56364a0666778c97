//! Which pointers into the middle of a block are as good as one to its start: what C++ programs
//! keep alone.

use super::reader::MemoryReader;
use crate::heap::size::WORD;
use crate::leak::mark_bitmap::MarkBitmap;

/// Does a word that points to `block`, or into it, count? `constants`: where tables of virtual
/// functions are, by ascending address.
pub(super) fn counts(
    marks: &MarkBitmap<'_>,
    reader: &MemoryReader<'_>,
    constants: &[(usize, usize)],
    block: usize,
    word: usize,
) -> bool {
    if word == block {
        return true;
    }
    let size = marks.heap().extent(block);
    let offset = word.wrapping_sub(block);
    if offset >= size || size < 2 * WORD {
        return false;
    }
    let read = |offset: usize| reader.word(block + offset).unwrap_or(0);
    is_array_behind_its_count(read(0), offset, size)
        || offset == 3 * WORD
            && size > 3 * WORD
            && is_text_behind_its_head(read(0), read(WORD), size)
        || offset.is_multiple_of(WORD)
            && offset + WORD <= size
            && is_in(constants, read(0))
            && is_in(constants, read(offset))
}

/// `new T[n]` of a type with a destructor: n, then the elements (Itanium C++ ABI, 2.7); or any
/// block that begins with the number of the bytes behind.
const fn is_array_behind_its_count(count: usize, offset: usize, size: usize) -> bool {
    offset == WORD && count != 0 && (size - WORD).is_multiple_of(count) && count <= size - WORD
}

/// libstdc++'s std::string before C++11: length, capacity, references, then the text with its NUL.
const fn is_text_behind_its_head(length: usize, capacity: usize, size: usize) -> bool {
    length <= capacity && capacity == size - 3 * WORD - 1
}

fn is_in(ranges: &[(usize, usize)], address: usize) -> bool {
    let behind = ranges.partition_point(|&(start, _)| start <= address);
    let last = behind.checked_sub(1).and_then(|at| ranges.get(at));
    last.is_some_and(|&(_, end)| address < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_in_front_of_what_is_pointed_to() {
        assert!(is_array_behind_its_count(10, 8, 8 + 10 * 24));
        assert!(!is_array_behind_its_count(0, 8, 24) && !is_array_behind_its_count(10, 16, 168));
        assert!(!is_array_behind_its_count(7, 8, 8 + 24) && !is_array_behind_its_count(100, 8, 16));
        assert!(is_text_behind_its_head(5, 20, 24 + 21));
        assert!(!is_text_behind_its_head(25, 20, 24 + 21) && !is_text_behind_its_head(5, 20, 46));
        let ranges = [(10, 20), (30, 40)];
        assert!(is_in(&ranges, 10) && is_in(&ranges, 39));
        assert!(!is_in(&ranges, 20) && !is_in(&ranges, 40) && !is_in(&ranges, 9));
    }
}
