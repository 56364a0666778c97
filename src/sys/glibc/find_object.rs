//! The dynamic loader's facts of an address, read without its lock.

// glibc 2.35. A weak reference, so that older ones still load this library.
crate::weak_reference!("_dl_find_object" => find_function);

/// The loader's record of a module (`struct dl_find_object`, dlfcn.h).
#[repr(C)]
struct Found {
    flags: u64,
    start: usize,
    end: usize,
    link_map: usize,
    eh_frame_hdr: usize,
    reserved: [u64; 7],
}

/// A loaded module.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// First mapped address.
    pub start: usize,
    /// First address behind.
    pub end: usize,
    /// Address of the loader's own record, given back to free when the module is unloaded.
    pub link_map: usize,
    /// Address of its .eh_frame_hdr; 0: none.
    pub eh_frame_hdr: usize,
}

/// The module that `address` is in, as it is now. Takes no lock, allocates nothing, safe in signal
/// handlers.
pub fn find_object(address: usize) -> Option<Object> {
    let function = find_function();
    if function == 0 {
        return None;
    }
    let mut found =
        Found { flags: 0, start: 0, end: 0, link_map: 0, eh_frame_hdr: 0, reserved: [0; 7] };
    // SAFETY: glibc's `int _dl_find_object(void *, struct dl_find_object *)`; it fills the record
    // where it returns 0.
    let result = unsafe {
        let find = core::mem::transmute::<
            usize,
            unsafe extern "C" fn(usize, *mut Found) -> core::ffi::c_int,
        >(function);
        find(address, &raw mut found)
    };
    let Found { start, end, link_map, eh_frame_hdr, .. } = found;
    (result == 0).then_some(Object { start, end, link_map, eh_frame_hdr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_in_a_module_and_the_heap_is_not() {
        let code = code_is_in_a_module_and_the_heap_is_not as *const () as usize;
        let object = find_object(code).expect("this program is loaded");
        assert!((object.start..object.end).contains(&code) && object.eh_frame_hdr != 0);
        let boxed = Box::new(0u8);
        assert!(find_object(core::ptr::from_ref(&*boxed) as usize).is_none());
    }
}
