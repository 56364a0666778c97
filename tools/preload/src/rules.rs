//! Which arguments the allocating calls take. Pure: says what is wrong, does nothing about it.

use mallocop::heap::size::PAGE;
use mallocop::model::finding::BadRequest;

/// `count` times `size` bytes, if that can be.
pub(crate) fn product(call: &'static str, count: usize, size: usize) -> Result<usize, BadRequest> {
    count.checked_mul(size).ok_or(BadRequest::Product { call, count, size })
}

/// `size`, if it is at most PTRDIFF_MAX and `most` (0: no limit).
pub(crate) fn size(call: &'static str, size: usize, most: usize) -> Result<usize, BadRequest> {
    if isize::try_from(size).is_err() || (most != 0 && size > most) {
        return Err(BadRequest::Size { call, size });
    }
    Ok(size)
}

/// An alignment for posix_memalign: a power of two that is a multiple of a pointer's size.
pub(crate) fn posix_alignment(align: usize) -> Result<usize, BadRequest> {
    if align.is_power_of_two() && align >= size_of::<usize>() {
        return Ok(align);
    }
    Err(BadRequest::Alignment { call: "posix_memalign", align })
}

/// An alignment for aligned_alloc and memalign: a power of two. glibc rounds others up; the
/// second value says which alignment that is.
pub(crate) fn alignment(call: &'static str, align: usize) -> (Option<BadRequest>, Option<usize>) {
    if align.is_power_of_two() {
        return (None, Some(align));
    }
    (Some(BadRequest::Alignment { call, align }), align.checked_next_power_of_two())
}

/// `size` rounded up to whole pages, for pvalloc.
pub(crate) fn whole_pages(size: usize) -> Result<usize, BadRequest> {
    size.checked_next_multiple_of(PAGE).ok_or(BadRequest::Size { call: "pvalloc", size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_sizes_at_the_edge() {
        assert_eq!(product("calloc", 0, usize::MAX), Ok(0));
        assert!(product("calloc", usize::MAX / 2, 3).is_err());
        assert!(size("malloc", isize::MAX as usize, 0).is_ok());
        assert!(size("malloc", isize::MAX as usize + 1, 0).is_err());
        assert!(size("malloc", 11, 10).is_err());
        assert!(whole_pages(usize::MAX).is_err());
        assert_eq!(whole_pages(0), Ok(0));
    }

    #[test]
    fn alignments() {
        assert!([8, 16, 4096].into_iter().all(|align| posix_alignment(align).is_ok()));
        assert!([0, 1, 4, 24].into_iter().all(|align| posix_alignment(align).is_err()));
        assert_eq!(alignment("memalign", 64), (None, Some(64)));
        assert_eq!(alignment("memalign", 24).1, Some(32));
        assert_eq!(alignment("memalign", usize::MAX).1, None);
    }
}
